"""Which row of a feature file belongs to which item, for more items than Python's strings have room for.

Shapes: N items by internal id (row 0 is PAD), T rows of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from recbole_mpo.common.arrow import require_pyarrow
from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text.item_text import TEXT_HEADER

# Tokens that are Python's strings at a time.
TOKENS_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class FileRows:
    """The rows of items in a feature file.

    Attributes:
        rows: int64 [N - 1] the row of each item after PAD, -1 if it has none.
        count: T.
        first: the token of row 0.
        source: the file that says which row is whose.
    """

    rows: np.ndarray
    count: int
    first: str
    source: Path


def rows_of_items(text: Path, feature_file: Path, item_tokens) -> FileRows:
    """Return the rows of items: that of the item's line in the text file or, without one, the number that it is.

    Args:
        text: the dataset's ``.text`` file, which need not exist.
        feature_file: the file of features.
        item_tokens: tokens of the items [N] by internal id, PAD first.

    Raises:
        DataError: the text file is malformed; the message names the line.
        DependencyError: pyarrow is not installed.
        FeatureError: an item is listed twice, or the release's index of names would be needed.
    """
    pa = require_pyarrow(f"{feature_file}: a file of this size")
    pc = pa.compute
    if not text.is_file():
        numbers = (_number(token, len(item_tokens) - 1) for token in _each(item_tokens[1:]))
        rows = np.fromiter(numbers, dtype=np.int64, count=len(item_tokens) - 1)
        return FileRows(rows, len(rows), "0", feature_file)
    if text.with_suffix(".item2index").is_file():
        raise FeatureError(f"{feature_file} is too large to be read with {text.stem}.item2index; give rows by .text")
    items, lines = (
        pa.chunked_array([pa.array(block, pa.large_string()) for block in _blocks(tokens)], pa.large_string())
        for tokens in (_each(item_tokens[1:]), _tokens_of(text))
    )
    if not len(lines):
        raise DataError(f"{text} has no items after the header")
    # In one call, since each begins with a table of all items.
    item_T = pc.fill_null(pc.index_in(lines, value_set=items), -1).to_numpy()
    count, first = len(lines), lines[0].as_py()
    del items, lines
    # Arrow would keep what it has no use for now, a gigabyte for ten million items.
    pa.default_memory_pool().release_unused()
    return FileRows(_row_of_each(item_T, item_tokens, text), count, first, text)


def _row_of_each(item_T: np.ndarray, item_tokens, text: Path) -> np.ndarray:
    """Return the row of each item [N - 1], from the item of each row, -1 for those of no item."""
    rows = np.full(len(item_tokens) - 1, -1, np.int64)
    listed = np.flatnonzero(item_T >= 0)
    rows[item_T[listed]] = listed
    again = np.flatnonzero(rows[item_T[listed]] != listed)
    if len(again):
        token = str(item_tokens[1 + item_T[listed[again[0]]]])
        raise FeatureError(f"{text}: item {token!r} occurs twice; delete one of its lines")
    return rows


def _each(tokens) -> Iterator[str]:
    for begin in range(0, len(tokens), TOKENS_AT_A_TIME):
        yield from map(str, tokens[begin : begin + TOKENS_AT_A_TIME])


def _blocks(tokens: Iterator[str]) -> Iterator[list[str]]:
    while block := list(islice(tokens, TOKENS_AT_A_TIME)):
        yield block


def _number(token: str, count: int) -> int:
    """Return the number that a token is, -1 if it is not one below ``count`` as it is usually written."""
    number = int(token) if token.isdecimal() and len(token) < 19 else -1
    return number if str(number) == token and number < count else -1


def _tokens_of(path: Path) -> Iterator[str]:
    """Yield the tokens of a text file, whose texts are not kept."""
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        try:
            if file.readline().rstrip("\r\n") != TEXT_HEADER:
                raise DataError(f"{path}, line 1: the header must be {TEXT_HEADER!r}")
            blank = 0
            for number, line in enumerate(file, start=2):
                token, tab, _ = line.partition("\t")
                if not line.strip("\r\n"):
                    blank = blank or number
                    continue
                if blank or not tab or not token:
                    raise DataError(f"{path}, line {blank or number}: no item token and tab before the text")
                yield token
        except UnicodeDecodeError as problem:
            raise DataError(f"{path}: not valid UTF-8 ({problem}); save the file as UTF-8") from problem
