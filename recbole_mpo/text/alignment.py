"""Feature rows in the order of internal item ids.

Shapes: N items (row 0 is PAD), T items with a feature row, F feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.item_text import is_missing
from recbole_mpo.text.standardising import ROWS_AT_A_TIME, present_rows


@dataclass(frozen=True)
class AlignmentReport:
    """Numbers of items with and without features; PAD is not counted.

    Attributes:
        items: items of the dataset (the candidates).
        with_text: items whose feature row is not all zero.
        missing_text: items in the text file whose row is all zero, because their text has no letter or digit.
        absent_from_text_file: items that are not in the text file.
        text_only: items of the text file that are not in the dataset.
        duplicate_texts: items that share their text with another item, so that both score equal; None without texts.
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
    """Put feature rows into the order of internal item ids.

    Args:
        features: [T, F] row r belongs to the token ``feature_tokens[r]``.
        feature_tokens: [T] tokens.
        item_tokens: [N] RecBole's ``dataset.field2id_token[iid]``: internal ids follow the order of appearance in the
            interactions, and index 0 is PAD.
        texts: [T] texts, to count duplicates.

    Returns:
        The table, float32 [N, F], with zero rows for PAD and for items without features; and a report.

    Raises:
        FeatureError: features and tokens differ in number, or a token occurs twice.
    """
    if len(features) != len(feature_tokens):
        raise FeatureError(f"{len(features)} feature rows for {len(feature_tokens)} tokens; each token needs one row")
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


def _count_duplicates(texts: Sequence[str], rows: np.ndarray) -> int:
    said = pd.Series([texts[row] for row in rows if not is_missing(texts[row])], dtype=object)
    return int(said.duplicated(keep=False).sum())


def _as_objects(tokens: Sequence[str]) -> np.ndarray:
    # RecBole holds tokens as fixed-width strings; pandas compares Python strings.
    return np.asarray(tokens, dtype=object)
