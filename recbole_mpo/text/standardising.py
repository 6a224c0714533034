"""Centres and scales features, with numbers that are fitted once and kept.

Shapes: N rows, F feature.
"""

from dataclasses import dataclass

import numpy as np

from recbole_mpo.common.errors import FeatureError

# Rows that are read or changed at a time: memory may not hold a second copy of the table.
ROWS_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class Standardising:
    """Numbers that turn an encoder's features into those that a model reads: ``(features - mean) / scale``.

    They are fitted to the items that a run begins with and stored in its checkpoints, so that an item that gets its
    text later changes no other item's features.

    Attributes:
        mean: float32 [F] subtracted from each row; None to leave the rows where they are.
        scale: float32 [1] that all features are divided by; None to leave their size.
    """

    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def fit(cls, features_NF: np.ndarray, centers: bool = True, scales: bool = True) -> "Standardising":
        """Return the numbers that centre rows and scale their mean square to one; rows of zeros do not count.

        Features of language models share one dominant direction, which the mean takes away. Encoders differ by a factor
        of ten: MiniLM's entries are about 0.05, BERT's about 0.5. With Adam, the adaptor learns faster in proportion to
        its input, while its whitening biases always change at the same speed.

        Args:
            features_NF: features of the items; zeros for items without text.
            centers: whether to subtract the mean.
            scales: whether to divide by the root mean square of what is left.
        """
        present = np.flatnonzero(present_rows(features_NF))
        mean = _mean(features_NF, present) if centers and len(present) else None
        scale = _root_mean_square(features_NF, present, mean) if scales and len(present) else None
        return cls(mean, scale)

    def apply(self, features_NF: np.ndarray):
        """Centre and scale features in place, except rows of zeros, which are items without text.

        Raises:
            FeatureError: the features have another number of columns than those that the mean was fitted to.
        """
        if self.mean is not None and len(self.mean) != features_NF.shape[1]:
            raise FeatureError(
                f"the mean of the features was fitted to {len(self.mean)} columns, but they have "
                f"{features_NF.shape[1]}; use the text_encoder or feature_file of the run that it comes from"
            )
        for rows, vectors in _blocks(features_NF, np.flatnonzero(present_rows(features_NF))):
            if self.mean is not None:
                vectors = vectors - self.mean
            features_NF[rows] = vectors if self.scale is None else vectors / self.scale


def present_rows(features_NF: np.ndarray) -> np.ndarray:
    """Return which rows [N] have features; the rows of PAD and of items without text are all zero."""
    return features_NF.any(axis=1)


def _mean(features_NF: np.ndarray, present: np.ndarray) -> np.ndarray:
    total = sum(vectors.sum(axis=0, dtype=np.float64) for _, vectors in _blocks(features_NF, present))
    return (total / len(present)).astype(features_NF.dtype)


def _root_mean_square(features_NF: np.ndarray, present: np.ndarray, mean: np.ndarray | None) -> np.ndarray | None:
    """Return the root mean square of the centred rows, [1]; None if they are all equal."""
    centred = (vectors if mean is None else vectors - mean for _, vectors in _blocks(features_NF, present))
    squares = sum(np.square(vectors, dtype=np.float64).sum() for vectors in centred)
    if squares == 0:
        return None
    return np.sqrt([squares / (len(present) * features_NF.shape[1])]).astype(features_NF.dtype)


def _blocks(features_NF: np.ndarray, rows: np.ndarray):
    """Yield the numbers of rows and a copy of these rows, block by block."""
    for begin in range(0, len(rows), ROWS_AT_A_TIME):
        block = rows[begin : begin + ROWS_AT_A_TIME]
        yield block, features_NF[block]
