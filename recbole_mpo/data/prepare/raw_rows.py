"""Reads the raw rows of a source as interactions, and stores item texts, before anything is dropped.

Shapes: I interactions, N items.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.recipe import Interactions, Step, TokenNumbers
from recbole_mpo.data.prepare.table_files import Table, parse_times


@dataclass(frozen=True)
class Columns:
    """Names of the columns of an interaction; ``others`` only distinguish rows.

    ``time_format`` is the format of dates, as for strptime.
    """

    user: str
    item: str
    time: str
    others: tuple[str, ...] = ()
    time_format: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        """Return the names of all columns: user, item, time and the others."""
        return (self.user, self.item, self.time, *self.others)


def read_interactions(table: Table, columns: Columns) -> tuple[Interactions, list[np.ndarray]]:
    """Return the rows with user, item and time, and the codes [I] of each other column.

    Raises:
        DataError: the file cannot be read, has no usable row, or has a token that cannot be in an atomic file.
    """
    numbers = {name: TokenNumbers() for name in (columns.user, columns.item, *columns.others)}
    blocks_of: dict[str, list] = {name: [] for name in columns.all}
    read = 0
    for block in table.blocks(columns.all):
        read += len(block)
        block = block.dropna(subset=[columns.user, columns.item, columns.time])
        where = f"{table.path}, column {columns.time!r}"
        times = parse_times(block[columns.time].to_numpy(), where, columns.time_format)
        blocks_of[columns.time].append(times)
        for name, number in numbers.items():
            blocks_of[name].append(number(block[name].to_numpy()))
    if not any(map(len, blocks_of[columns.time])):
        raise DataError(f"{table.path} has no row with {columns.user!r}, {columns.item!r} and {columns.time!r}")
    whole = {name: np.concatenate(blocks) for name, blocks in blocks_of.items()}
    users, items = numbers[columns.user].tokens, numbers[columns.item].tokens
    for name, tokens in ((columns.user, users), (columns.item, items)):
        check_tokens(tokens, f"{table.path}, column {name!r}")
    usable = len(whole[columns.time])
    steps = [Step(f"rows of {table.path.name}", read, 0)]
    if usable < read:
        steps.append(Step("rows with user, item and time", usable, read - usable))
    rows = (whole[name] for name in (columns.user, columns.item, columns.time))
    return Interactions(*rows, users, items, tuple(steps)), [whole[name] for name in columns.others]


def check_tokens(tokens: np.ndarray, where: str):
    """Refuse tokens that would break the lines or cells of an atomic file.

    Raises:
        DataError: a token contains a tab or a line end.
    """
    broken = pd.Series(tokens, dtype=object).str.contains(r"[\t\r\n]").to_numpy(dtype=bool)
    if broken.any():
        raise DataError(f"{where}: {tokens[broken][0]!r} contains a tab or a line end; remove it from the token")


class TextSpool:
    """Item texts in a temporary file, so that any number of items takes only a few bytes of memory per item."""

    def __init__(self, items: int):
        self._file = tempfile.TemporaryFile()
        self._begin = np.full(items, -1, dtype=np.int64)
        self._length = np.zeros(items, dtype=np.int32)

    def __contains__(self, item: int) -> bool:
        return self._begin[item] >= 0

    def add(self, item: int, text: str):
        """Store an item's text."""
        content = text.encode("utf-8", errors="replace")
        self._begin[item] = self._file.tell()
        self._length[item] = len(content)
        self._file.write(content)

    @property
    def present(self) -> np.ndarray:
        """Return which items have a text, bool [N]."""
        return self._begin >= 0

    def texts(self, items: Iterable[int]) -> Iterator[str]:
        """Yield the texts of items, "" for items without one."""
        for item in items:
            self._file.seek(max(0, self._begin[item]))
            yield self._file.read(self._length[item]).decode("utf-8")
