"""A prepared dataset whose rows are in a database, and how its files are written: as those of ``Prepared``."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from recbole_mpo.common.files import write_lines
from recbole_mpo.data.atomic_files import RECBOLE_FIELDS, SINGLE_SUFFIX
from recbole_mpo.data.prepare.card import Card
from recbole_mpo.data.prepare.large.database import Database
from recbole_mpo.data.prepare.large.item_text_table import other_texts, texts_in_order
from recbole_mpo.data.prepare.large.token_tables import part_bounds
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.recipe import Step
from recbole_mpo.data.prepare.rows_hash import RowsHash
from recbole_mpo.data.prepare.shards import as_part, import_pyarrow, lines_of, write_shards
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.whole_folder import CARD, new_files
from recbole_mpo.data.statistics import Statistics
from recbole_mpo.text.item_text import TEXT_HEADER, is_missing

# Rows with the numbers of their user and item.
_NUMBERED = "rows JOIN user_numbers AS a USING (u) JOIN item_numbers AS b USING (i)"


@dataclass(frozen=True)
class LargeDataset:
    """Rows, names and texts in a database.

    Attributes:
        name: name of the dataset.
        database: has the tables that a preparation makes.
        counts: numbers of users, items and interactions.
        has_texts: whether there are texts.
        raw_files: files and folders that the dataset was made from.
        source: a known source; None for own tables.
        steps: the steps of the preparation.
        notes: sentences for the card.
        remarks: sentences about what was read in another way, for the card and the screen.
    """

    name: str
    database: Database
    counts: tuple[int, int, int]
    has_texts: bool
    raw_files: tuple[Path, ...]
    source: Source | None
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = field(default=())

    @cached_property
    def other_items(self) -> int:
        """Number of items that only have text."""
        return sum(1 for _ in other_texts(self.database)) if self.has_texts else 0

    @cached_property
    def _statistics(self) -> Statistics:
        users, items, interactions = self.counts
        words, without_text = None, None
        if self.has_texts:
            words = without_text = 0
            for _, text in texts_in_order(self.database):
                words += len(text.split())
                without_text += is_missing(text)
            words /= items
        return Statistics(users, items, interactions, interactions / users, words, without_text)

    def statistics(self) -> Statistics:
        """Return the statistics of the dataset."""
        return self._statistics

    def all_remarks(self) -> tuple[str, ...]:
        """Return what is to be said about rows, then about texts."""
        return self.remarks

    def write(self, data_path: str | Path, form: Form) -> Path:
        """Write ``<data_path>/<name>``, all of its files or none, and return the folder.

        Raises:
            DataError: the files cannot be written.
        """
        with new_files(data_path, self.name) as folder:
            if self.has_texts:
                write_lines(folder / f"{self.name}.text", self._text_lines())
            if form.output_format == "parquet":
                self._write_shards(folder, form.parts)
            else:
                write_lines(folder / f"{self.name}{SINGLE_SUFFIX}", self._inter_lines())
            notes = (*self.notes, *self.all_remarks())
            card = Card(self.name, self.source, self.raw_files, form.split, notes, self.steps, self.statistics())
            write_lines(folder / CARD, card.lines(folder))
        return Path(data_path) / self.name

    def _text_lines(self) -> Iterator[str]:
        yield TEXT_HEADER
        for pairs in (texts_in_order(self.database), other_texts(self.database)):
            yield from (f"{token}\t{text}" for token, text in pairs)

    def _inter_lines(self) -> Iterator[str]:
        yield RECBOLE_FIELDS.single_header
        users = self._tokens("users JOIN user_numbers USING (u)")
        items = self._tokens("items JOIN item_numbers USING (i)")
        query = f'SELECT a.number AS "user", b.number AS item, t FROM {_NUMBERED} ORDER BY a.number, t, place'
        for batch in self.database.batches(query):
            names = (users.take(batch.column("user")), items.take(batch.column("item")))
            columns = (*(column.to_pylist() for column in names), batch.column("t").to_pylist())
            yield from (f"{user}\t{item}\t{moment}" for user, item, moment in zip(*columns, strict=True))

    def _tokens(self, relation: str):
        """Return the tokens of a relation by number, as an Arrow array."""
        return self.database.table(f"SELECT token FROM {relation} ORDER BY number").column("token").combine_chunks()

    def _write_shards(self, folder: Path, parts: int):
        total = RowsHash()
        items = self.database.table(
            "SELECT token AS item_id, interactions FROM item_numbers JOIN items USING (i) ORDER BY number"
        )
        write_shards(
            folder, self.name, self._parts(parts, items.column("item_id").combine_chunks(), total), items, total
        )

    def _parts(self, parts: int, items, total: RowsHash) -> Iterator:
        """Yield the table of each part in turn, and hash its rows."""
        database = self.database
        times = _dtype(database)
        for first, last in part_bounds(database, parts):
            here = f"u BETWEEN {first} AND {last}"
            rows = database.table(
                f'SELECT a.number AS "user", b.number AS item, t, u FROM {_NUMBERED} WHERE {here} '
                "ORDER BY a.number, t, place"
            )
            users = database.table(f"SELECT token FROM users WHERE {here} ORDER BY u").column("token").combine_chunks()
            places = import_pyarrow().compute.subtract(rows.column("u"), first)
            columns = [users.take(places), items.take(rows.column("item")), rows.column("t")]
            columns += [rows.column("user"), rows.column("item")]
            table = as_part(columns, times)
            _hash(database, table, total)
            yield table


def _dtype(database: Database) -> np.dtype:
    return np.dtype("float64" if database.value("SELECT typeof(any_value(t)) FROM rows") == "DOUBLE" else "int64")


def _hash(database: Database, table, total: RowsHash):
    """Add the rows of a part to the hash of all."""
    if _is_float(table):
        # Python and SQL write numbers with fractions in different ways.
        total.add_lines(lines_of(table))
        return
    line = 'user_id || chr(9) || item_id || chr(9) || "timestamp"'
    with database.view("block", table):
        lower, upper = database.row(
            f"SELECT sum((md5 & {2**64 - 1}::UHUGEINT)::UBIGINT), sum((md5 >> 64)::UBIGINT) FROM "
            f"(SELECT md5_number({line}) AS md5 FROM block)"
        )
    total.add_halves(int(lower or 0), int(upper or 0))


def _is_float(table) -> bool:
    return import_pyarrow().types.is_floating(table.column("timestamp").type)
