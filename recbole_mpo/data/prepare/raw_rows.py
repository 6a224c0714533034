"""Reads the raw rows of a source as interactions, before anything but unusable rows is dropped.

Shapes: I interactions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.recipe import Interactions, Step, TokenNumbers
from recbole_mpo.data.prepare.table_files import Table
from recbole_mpo.data.prepare.times import Times
from recbole_mpo.text.index_files import PAD

_WHOLE = re.compile(r"(-?\d+)\.0+")
# What would break the lines or cells of an atomic file, and what could not be written as UTF-8 or read again.
_ENDS = r"[\t\r\n]", "a tab or a line end"
_UNWRITABLE = r"[\x00\ud800-\udfff]", "a NUL or half a character"


@dataclass(frozen=True)
class Columns:
    """Names of the columns of an interaction.

    Attributes:
        user, item: columns of the tokens.
        time: column of the time; None if the order of the rows is the order of time.
        others: columns that only distinguish rows.
        time_format: format of dates, as for strptime.
        rating: column of the rating, for a smallest rating.
    """

    user: str
    item: str
    time: str | None
    others: tuple[str, ...] = ()
    time_format: str | None = None
    rating: str | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the names of the columns without which a row cannot be used."""
        return (self.user, self.item) if self.time is None else (self.user, self.item, self.time)


class WholeIds:
    """Reads ids as whole numbers: a column with empty cells writes ``1010`` as ``1010.0``, another one does not."""

    def __init__(self):
        self.changed: set[str] = set()

    def __call__(self, token):
        """Return ``1010`` for ``1010.0``, any other token as it is."""
        match = _WHOLE.fullmatch(token) if isinstance(token, str) else None
        if match is None:
            return token
        self.changed.add(token)
        return match[1]

    def remarks(self, where: str) -> tuple[str, ...]:
        """Return a sentence about the ids that were read in this way."""
        return whole_id_remarks(len(self.changed), min(self.changed, default=""), where)


def whole_id_remarks(count: int, example: str, where: str) -> tuple[str, ...]:
    """Return a sentence about ``count`` ids that were read as whole numbers; none where there are none."""
    if not count:
        return ()
    return (f"{count:,} ids of {where} are written like {example} and were read as {WholeIds()(example)}.",)


def read_interactions(
    table: Table, columns: Columns, least_rating: float | None = None
) -> tuple[Interactions, list[np.ndarray]]:
    """Return the rows with user, item and time, and the codes [I] of each other column.

    Args:
        table: one row per interaction.
        columns: its columns.
        least_rating: rows with a smaller rating, or without one, are dropped.

    Raises:
        DataError: the file cannot be read, has no usable row, has a rating that is not a number, or has a token that
            cannot be in an atomic file.
    """
    rows = _Rows(UsableRows(table, columns, least_rating))
    for block in rows.usable.blocks():
        rows.add(block)
    return rows.interactions(), [rows.codes(name) for name in columns.others]


class UsableRows:
    """The rows of a table that can be used: with user, item and time, and a rating that is large enough.

    Args:
        table: one row per interaction.
        columns: its columns.
        least_rating: rows with a smaller rating, or without one, are dropped; None keeps all.

    Attributes:
        read, usable, kept: how many rows were read, have user, item and time, and also have such a rating.
    """

    def __init__(self, table: Table, columns: Columns, least_rating: float | None):
        self.table, self.columns, self.least_rating = table, columns, least_rating
        self.read = self.usable = self.kept = 0

    def blocks(self) -> Iterator[pd.DataFrame]:
        """Yield the rows, block by block, and count them.

        Raises:
            DataError: the file cannot be read, or a rating is not a number.
        """
        ratings = () if self.least_rating is None else (self.columns.rating,)
        for block in self.table.blocks((*self.columns.needed, *self.columns.others, *ratings)):
            self.read += len(block)
            block = block.dropna(subset=list(self.columns.needed))
            self.usable += len(block)
            if self.least_rating is not None:
                block = block[self._is_rated(block[self.columns.rating])]
            self.kept += len(block)
            yield block

    def _is_rated(self, cells: pd.Series) -> np.ndarray:
        """Return which rows have a rating that is large enough."""
        ratings = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
        bad = np.flatnonzero(np.isnan(ratings) & cells.notna().to_numpy())
        if len(bad):
            raise DataError(
                f"{self.table.path}, column {self.columns.rating!r}: {cells.iloc[bad[0]]!r} is not a number; give "
                "another --rating"
            )
        return ratings >= self.least_rating

    def steps(self, first: str | None = None) -> tuple[Step, ...]:
        """Return the steps of reading; ``first`` says what was read, by default the rows of the table.

        Raises:
            DataError: no row is left.
        """
        columns, path = self.columns, self.table.path
        names = [repr(name) for name in columns.needed]
        if not self.usable:
            raise DataError(f"{path} has no row with {', '.join(names[:-1])} and {names[-1]}")
        if not self.kept:
            raise DataError(f"{path} has no row with a {columns.rating!r} of at least {self.least_rating:g}")
        steps = [Step(first or f"rows of {path.name}", self.read, 0)]
        if self.usable < self.read:
            what = "rows with user, item and time" if columns.time else "rows with user and item"
            steps.append(Step(what, self.usable, self.read - self.usable))
        if self.least_rating is not None:
            what = f"rows with a rating of at least {self.least_rating:g}"
            steps.append(Step(what, self.kept, self.usable - self.kept))
        return tuple(steps)

    def times(self) -> Times:
        """Return an empty collection for the times of the rows."""
        return Times(f"{self.table.path}, column {self.columns.time!r}", self.columns.time_format)


class _Rows:
    """Rows of a table, collected over its blocks."""

    def __init__(self, usable: UsableRows):
        self.usable, self.columns = usable, usable.columns
        self.whole = WholeIds()
        ids = {name: TokenNumbers(self.whole) for name in (self.columns.user, self.columns.item)}
        self.numbers = {**{name: TokenNumbers() for name in self.columns.others}, **ids}
        self.blocks: dict[str, list] = {name: [] for name in self.numbers}
        self.times = usable.times()

    def add(self, block: pd.DataFrame):
        """Take a block of rows."""
        if self.columns.time is not None:
            self.times.add(block[self.columns.time].to_numpy())
        for name, number in self.numbers.items():
            self.blocks[name].append(number(block[name].to_numpy()))

    def codes(self, name: str) -> np.ndarray:
        """Return the codes [I] of a column."""
        return np.concatenate([np.empty(0, dtype=np.int32), *self.blocks[name]])

    def interactions(self) -> Interactions:
        """Return the rows as interactions."""
        columns, path = self.columns, self.usable.table.path
        steps = self.usable.steps()
        users, items = self.codes(columns.user), self.codes(columns.item)
        tokens = [self.numbers[name].tokens for name in (columns.user, columns.item)]
        for name, some in zip((columns.user, columns.item), tokens, strict=True):
            check_tokens(some, f"{path}, column {name!r}")
        times = np.arange(len(users)) if columns.time is None else self.times.values()
        return Interactions(users, items, times, *tokens, steps, self.whole.remarks(path.name))


def check_tokens(tokens: np.ndarray, where: str):
    """Refuse tokens that would break the lines or cells of an atomic file.

    Raises:
        DataError: a token contains a tab, a line end, a NUL or half of a surrogate pair, or is the padding's name.
    """
    texts = pd.Series(tokens, dtype=object)
    for characters, what in (_ENDS, _UNWRITABLE):
        broken = texts.str.contains(characters).to_numpy(dtype=bool)
        if broken.any():
            raise DataError(f"{where}: {tokens[broken][0]!r} contains {what}; remove it from the token")
    if PAD in tokens:
        raise DataError(f"{where}: {PAD!r} is the name of the padding; give the token another name")
