"""What a target's rank is worth to each metric.

With one target per row a metric is the mean, over the rows, of a gain that depends on the rank r alone:
HIT@k = [r <= k], NDCG@k = [r <= k] / log2(r + 1), MRR@k = [r <= k] / r, precision@k = [r <= k] / k. The rank of a
target that is not a candidate is ``MISSED``: no k reaches it.

Shapes: R rows.
"""

import re

import numpy as np

# The largest int32, as which ranks are stored.
MISSED = 2**31 - 1
# The gain of a rank within the first k.
GAINS = {
    "hit": lambda ranks, k: np.ones(len(ranks)),
    "recall": lambda ranks, k: np.ones(len(ranks)),
    "precision": lambda ranks, k: np.full(len(ranks), 1.0 / k),
    "ndcg": lambda ranks, k: 1.0 / np.log2(ranks + 1.0),
    "mrr": lambda ranks, k: 1.0 / ranks,
    "map": lambda ranks, k: 1.0 / ranks,
}


def rank_gains(ranks_R: np.ndarray, metric: str, k: int) -> np.ndarray:
    """Return the gain of each row [R]; the metric is their mean.

    Args:
        ranks_R: rank of each row's target, from 1, or ``MISSED``.
        metric: one of ``GAINS``.
        k: the cut-off; a rank above it gains nothing.
    """
    ranks_R = np.asarray(ranks_R, dtype=np.float64)
    return GAINS[metric](ranks_R, k) * (ranks_R <= min(k, MISSED - 1))


def split_metric(name: str) -> tuple[str, int] | None:
    """Return the metric and the cut-off of a name such as ``ndcg@10``; None if ranks do not give it."""
    match = re.fullmatch(r"([a-z]+)@([1-9][0-9]{0,8})", name.lower())
    return (match[1], int(match[2])) if match and match[1] in GAINS else None
