"""Puts the raw rows of a table into a database: as text, with their time and their place in the file.

The result is a relation ``raw`` with the columns ``user``, ``item``, ``time``, ``other`` and ``place``. Parquet files
with plain columns are read by DuckDB itself; every other form by the reader of the small path, block by block, so that
cells are read in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.data.prepare.large.database import Database
from recbole_mpo.data.prepare.large.parquet_rows import PlainParquet
from recbole_mpo.data.prepare.large.time_tables import add_times, create_times, settle_times
from recbole_mpo.data.prepare.raw_rows import Columns, UsableRows, check_tokens
from recbole_mpo.data.prepare.recipe import Step, TokenNumbers
from recbole_mpo.data.prepare.shards import import_pyarrow
from recbole_mpo.data.prepare.table_files import Table
from recbole_mpo.data.prepare.times import Times


@dataclass(frozen=True)
class Raw:
    """The raw rows that are in a database.

    Attributes:
        columns: the columns that the rows were read from.
        where: the table's path, for messages.
        steps: the steps of reading.
    """

    columns: Columns
    where: Path
    steps: tuple[Step, ...]

    def place_of(self, column: str) -> str:
        """Return file and column, for messages."""
        return f"{self.where}, column {column!r}"


def read_raw(database: Database, table: Table, columns: Columns, least_rating: float | None) -> Raw:
    """Make ``raw`` from the usable rows of a table.

    Raises:
        DataError: as :func:`~recbole_mpo.data.prepare.raw_rows.read_interactions`.
    """
    usable = UsableRows(table, columns, least_rating)
    plain = PlainParquet.of(table, columns, least_rating)
    if plain is not None:
        plain.read(database, usable)
    else:
        rows = BlockRows(database)
        rows.add(usable)
        rows.finish()
    return Raw(columns, table.path, usable.steps())


class BlockRows:
    """Puts the rows of one table or several into ``raw``, block by block.

    Args:
        database: where they go.
        read_other: returns what a cell of a table's first other column means.

    Attributes:
        count: number of rows so far.
    """

    def __init__(self, database: Database, read_other: Callable = lambda cell: cell):
        self.database = database
        self.count = 0
        self._times: Times | None = None
        self._others = TokenNumbers(read_other)
        create_times(database)

    def add(self, usable: UsableRows):
        """Add the usable rows of a table."""
        columns = usable.columns
        self._times = self._times or usable.times()
        for block in usable.blocks():
            if not len(block):
                continue
            cells = {
                name: _text(block[column].to_numpy(), f"{usable.table.path}, column {column!r}")
                for name, column in (("user", columns.user), ("item", columns.item))
            }
            cells["other"] = self._others(block[columns.others[0]].to_numpy()) if columns.others else None
            cells["place"] = np.arange(self.count, self.count + len(block))
            self.count += len(block)
            times = None if columns.time is None else block[columns.time].to_numpy()
            add_times(
                self.database, {name: cell for name, cell in cells.items() if cell is not None}, times, self._times
            )

    def finish(self):
        """Make ``raw``, once all rows are there."""
        settle_times(self.database, self._times)


def _text(cells: np.ndarray, where: str):
    """Return cells as an Arrow array; half of a surrogate pair, which it cannot hold, is refused."""
    try:
        return import_pyarrow().array(cells, import_pyarrow().string())
    except UnicodeEncodeError:
        check_tokens(cells, where)
        raise
