"""Parquet files with plain columns as raw rows that DuckDB reads itself, several threads at a time.

Plain are ids that are text or whole numbers, times that are numbers or timestamps, and ratings that are numbers: there
SQL reads the same as the small path. Anything else goes through the small path's own reader, and so do files whose
columns differ in type, or have names that DuckDB would confuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from recbole_mpo.data.prepare.large.database import Database, identifier, literal
from recbole_mpo.data.prepare.large.time_tables import largest_unit
from recbole_mpo.data.prepare.open_files import foreign
from recbole_mpo.data.prepare.raw_rows import Columns, UsableRows
from recbole_mpo.data.prepare.shards import import_pyarrow
from recbole_mpo.data.prepare.table_files import Table

# Columns that DuckDB adds to those of a file, unless the file has its own.
FILE_PLACE = {"file_index", "file_row_number"}
# What Python takes as blank: a cell of nothing else is empty.
BLANKS = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)))) + (
    "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass(frozen=True)
class PlainParquet:
    """Parquet files whose columns SQL reads as the small path does.

    Attributes:
        files: the files in order.
        rows: number of rows of each.
        columns: the columns.
        time_kind: ``whole``, ``float`` or ``timestamp``; None without times.
        has_text: whether user and item are text, or whole numbers.
        rating_fraction: whether ratings are numbers with fractions.
    """

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    columns: Columns
    time_kind: str | None
    has_text: tuple[bool, bool]
    rating_fraction: bool

    @classmethod
    def of(cls, table: Table, columns: Columns, least_rating: float | None) -> "PlainParquet | None":
        """Return a table's files if they are plain, or else None.

        Raises:
            DataError: the folder has no Parquet file.
        """
        files = table.files() if table.path.exists() else []
        # DuckDB takes some characters of a path as a pattern.
        if not files or any(file.suffix.lower() != ".parquet" or set(str(file)) & set("*?[]{}") for file in files):
            return None
        if columns.others or columns.time_format:
            return None
        rating = () if least_rating is None else (columns.rating,)
        names = (*columns.needed, *rating)
        types, rows = set(), []
        for file in files:
            with foreign(file, "Parquet"), import_pyarrow().parquet.ParquetFile(file) as content:
                schema = content.schema_arrow
                if not _are_clear(names, schema.names):
                    return None
                types.add(tuple(schema.field(name).type for name in names))
                rows.append(content.metadata.num_rows)
        # DuckDB reads all files as the types of the first.
        if len(types) != 1:
            return None
        kinds = tuple(map(_kind, types.pop()))
        return cls._of_kinds(kinds, tuple(files), tuple(rows), columns, least_rating is not None)

    @classmethod
    def _of_kinds(cls, kinds: tuple, files, rows, columns: Columns, is_rated: bool) -> "PlainParquet | None":
        user, item, *others = kinds
        time = others.pop(0) if columns.time is not None else None
        rating = others.pop() if is_rated else "float"
        is_plain = {user, item} <= {"text", "whole", "unsigned"} and (
            columns.time is None or time in ("whole", "float", "timestamp")
        )
        if not is_plain or rating not in ("whole", "float"):
            return None
        return cls(files, rows, columns, time, (user == "text", item == "text"), is_rated and rating == "float")

    def read(self, database: Database, usable: UsableRows):
        """Make ``raw``, and count the rows in ``usable``.

        Raises:
            DataError: a time is infinite or out of range, or a file is damaged.
        """
        if self.time_kind == "float" or self.rating_fraction:
            # The smallest and largest numbers that a Parquet file states leave NaN out: DuckDB 2.0 concludes that there
            # is none, and drops every test for it.
            database.run("SET disabled_optimizers = 'statistics_propagation'")
        user, item = (
            _text_of(column, is_text)
            for column, is_text in zip((self.columns.user, self.columns.item), self.has_text, strict=True)
        )
        paths = "[" + ", ".join(map(literal, self.files)) + "]"
        starts = "[" + ", ".join(map(str, accumulate((0, *self.rows[:-1])))) + "]"
        place = f"{starts}[file_index::BIGINT + 1]::BIGINT + file_row_number"
        time = {"timestamp": "epoch_ns({0})", "float": "CASE WHEN isnan({0}) THEN NULL ELSE {0}::DOUBLE + 0.0 END"}.get(
            self.time_kind, "{0}::BIGINT"
        )
        time = place if self.time_kind is None else time.format(identifier(self.columns.time))
        is_rated = self._is_rated(usable.least_rating)
        database.run(
            f'CREATE VIEW cells AS SELECT {user} AS "user", {item} AS item, {time} AS "time", 0 AS other, '
            f"{place} AS place, {is_rated} AS is_rated FROM read_parquet({paths}, hive_partitioning = false)"
        )
        usable.read = sum(self.rows)
        database.run(
            'CREATE VIEW usable AS SELECT * FROM cells WHERE "user" IS NOT NULL AND item IS NOT NULL AND "time" IS NOT '
            "NULL"
        )
        where = f"{usable.table.path}, column {self.columns.time!r}"
        with database.conversion(where, "times of the years 1678 to 2262"):
            usable.usable, usable.kept = database.row("SELECT count(*), count(*) FILTER (is_rated) FROM usable")
            self._make_raw(database, usable)

    def _is_rated(self, least: float | None) -> str:
        if least is None:
            return "true"
        rating = identifier(self.columns.rating)
        # To SQL, NaN is larger than every number.
        is_number = f"NOT isnan({rating})" if self.rating_fraction else "true"
        # SQL would round the bound to the rating's type, and without quotes to few digits.
        return f"coalesce({rating}::DOUBLE >= '{least!r}'::DOUBLE AND {is_number}, false)"

    def _make_raw(self, database: Database, usable: UsableRows):
        """Make ``raw`` of ``usable``: with the times in their final form, and without rows of small ratings."""
        time = '"time"'
        if self.time_kind is None and usable.kept < usable.read:
            # The times are the numbers of the rows that are kept.
            time = "row_number() OVER (ORDER BY place) - 1"
        elif self.time_kind == "timestamp":
            time = f'"time" // {largest_unit(database, "usable WHERE is_rated", "time")}' if usable.kept else '"time"'
        elif self.time_kind == "float":
            time = _float_times(database, usable)
        database.run(
            f'CREATE VIEW raw AS SELECT "user", item, other, place, {time} AS "time" FROM usable WHERE is_rated'
        )


def _float_times(database: Database, usable: UsableRows) -> str:
    """Return the times of a column of floats: whole numbers where all of them are whole."""
    is_whole = 'bool_and("time" = trunc("time") AND abs("time") < 9.223372036854775e18)'
    infinite, whole = database.row(f'SELECT count(*) FILTER (isinf("time")), {is_whole} FROM usable WHERE is_rated')
    if infinite:
        usable.times().read(np.array(["inf"], dtype=object))
    return '"time"::BIGINT' if whole else '"time"'


def _are_clear(names: tuple[str, ...], present: list[str]) -> bool:
    """Return whether DuckDB, which takes upper case for lower, finds the same columns in a file under these names."""
    folded = [name.casefold() for name in present]
    return not FILE_PLACE & set(folded) and all(
        name in present and folded.count(name.casefold()) == 1 for name in names
    )


def _text_of(column: str, is_text: bool) -> str:
    """Return the SQL of an id as text, NULL for a blank one."""
    cell = identifier(column)
    if not is_text:
        return f"{cell}::VARCHAR"
    # The first test spares most cells the second.
    return (
        f"CASE WHEN ascii({cell}) > 32 AND ascii({cell}) < 127 OR trim({cell}, {literal(BLANKS)}) <> '' THEN {cell} END"
    )


def _kind(column_type) -> str | None:
    """Return what kind of cells a column of this Arrow type has; None if SQL might read them in another way."""
    types = import_pyarrow().types
    kinds: dict[str, Callable] = {
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        # Those of 64 bits do not fit into the integers of times.
        "unsigned": types.is_uint64,
        "whole": types.is_integer,
        "float": lambda kind: types.is_float32(kind) or types.is_float64(kind),
        # Parquet's older nanoseconds are read as microseconds by DuckDB.
        "timestamp": lambda kind: types.is_timestamp(kind) and kind.unit in ("ms", "us"),
    }
    return next((name for name, matches in kinds.items() if matches(column_type)), None)
