"""Feature rows in the order of internal item ids, centred and scaled.

Shapes: N items (row 0 is PAD), T items with a feature row, F feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.item_text import is_missing

# Rows centred, scaled and gathered at a time: a copy of the whole table may not fit beside it.
ROWS_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class AlignmentReport:
    """How items and features met; every number counts items, PAD excluded.

    Attributes:
        items: of the dataset (candidates).
        with_text: have a feature row that is not all zero.
        missing_text: are listed in the text file, and their row is all zero: their text holds no letter or digit.
        absent_from_text_file: are not listed there.
        text_only: of the text file, never occur in the dataset.
        duplicate_texts: have a text that another item has too (they score equal); None where no texts were given.
    """

    items: int
    with_text: int
    missing_text: int
    absent_from_text_file: int
    text_only: int
    duplicate_texts: int | None = None


def align_features(
    features: np.ndarray,
    feature_tokens: Sequence[str],
    item_tokens: Sequence[str],
    texts: Sequence[str] | None = None,
) -> tuple[np.ndarray, AlignmentReport]:
    """Gather feature rows by token into internal order.

    Args:
        features: [T, F], row r of the token ``feature_tokens[r]``.
        feature_tokens: [T].
        item_tokens: [N], RecBole's ``dataset.field2id_token[iid]``: internal ids follow the order of appearance in the
            interactions, and index 0 is PAD.
        texts: [T], to count duplicates.

    Returns:
        The table, float32 [N, F], whose row is zero for PAD and for items without features; and how the two met.

    Raises:
        FeatureError: features and tokens differ in number, or a token occurs twice.
    """
    if len(features) != len(feature_tokens):
        raise FeatureError(f"{len(features)} feature rows for {len(feature_tokens)} tokens; each needs one")
    index = pd.Index(_as_objects(feature_tokens))
    if not index.is_unique:
        raise FeatureError(f"item {index[index.duplicated()][0]!r} occurs twice among the feature rows")
    rows = index.get_indexer(_as_objects(item_tokens)[1:])
    listed = rows >= 0
    table = np.zeros((len(item_tokens), features.shape[1]), dtype=np.float32)
    for begin in range(0, len(rows), ROWS_AT_A_TIME):
        block = slice(begin, begin + ROWS_AT_A_TIME)
        table[1:][block][listed[block]] = features[rows[block][listed[block]]]
    with_text = int(present_rows(table).sum())
    report = AlignmentReport(
        items=len(rows),
        with_text=with_text,
        missing_text=int(listed.sum()) - with_text,
        absent_from_text_file=int((~listed).sum()),
        text_only=len(index) - int(listed.sum()),
        duplicate_texts=None if texts is None else _count_duplicates(texts, rows[listed]),
    )
    return table, report


def present_rows(table: np.ndarray) -> np.ndarray:
    """Return which rows [N] hold a feature vector; PAD and items without text are all zero."""
    return table.any(axis=1)


def center_features(table: np.ndarray, present_mask: np.ndarray) -> None:
    """Subtract the mean of the present rows [N] of the table [N, F] from them, in place.

    Language-model features share one dominant direction; other rows (PAD, missing text) are left as they are.
    """
    if present_mask.any():
        mean = sum(vectors.sum(axis=0, dtype=np.float64) for _, vectors in _present_blocks(table, present_mask))
        mean = (mean / np.count_nonzero(present_mask)).astype(table.dtype)
        for rows, vectors in _present_blocks(table, present_mask):
            table[rows] = vectors - mean


def scale_features(table: np.ndarray, present_mask: np.ndarray) -> None:
    """Divide the table [N, F] by one number, in place, so that the present rows' mean square is one.

    Encoders differ by a factor of ten (MiniLM's entries are about 0.05, BERT's 0.5), and with Adam the adaptor
    learns as much faster as its input is larger, while its whitening biases move at one and the same speed.
    """
    squares = sum(np.square(vectors, dtype=np.float64).sum() for _, vectors in _present_blocks(table, present_mask))
    if squares > 0:
        table /= np.sqrt(squares / (np.count_nonzero(present_mask) * table.shape[1])).astype(table.dtype)


def _present_blocks(table: np.ndarray, present_mask: np.ndarray):
    """Yield the numbers of some present rows and a copy of them, until all were there."""
    present = np.flatnonzero(present_mask)
    for begin in range(0, len(present), ROWS_AT_A_TIME):
        rows = present[begin : begin + ROWS_AT_A_TIME]
        yield rows, table[rows]


def _count_duplicates(texts: Sequence[str], rows: np.ndarray) -> int:
    said = pd.Series([texts[row] for row in rows if not is_missing(texts[row])], dtype=object)
    return int(said.duplicated(keep=False).sum())


def _as_objects(tokens: Sequence[str]) -> np.ndarray:
    # RecBole holds tokens as fixed-width strings; pandas compares Python strings.
    return np.asarray(tokens, dtype=object)
