"""Full-ranking evaluation by each target's rank.

With one target per row every metric here follows from the rank r alone: HIT@k = [r <= k],
NDCG@k = [r <= k] / log2(r + 1), MRR@k = [r <= k] / r.

Shapes: B rows of a batch, N items (column 0 is PAD), R rows.
"""

import numpy as np
import torch
from torch import Tensor

# Largest score matrix held at once, in entries.
MAX_SCORES = 1 << 25

GAINS = {
    "hit": lambda ranks: np.ones(len(ranks)),
    "recall": lambda ranks: np.ones(len(ranks)),
    "ndcg": lambda ranks: 1.0 / np.log2(ranks + 1.0),
    "mrr": lambda ranks: 1.0 / ranks,
    "map": lambda ranks: 1.0 / ranks,
}


def can_rank(metrics) -> bool:
    """Whether all these metrics follow from ranks."""
    return all(metric.lower() in GAINS or metric.lower() == "precision" for metric in metrics)


def ranks_of_targets(scores_BN: Tensor, targets_B: Tensor) -> Tensor:
    """Rank of each row's target: 1 + items scored higher + other items scored the same (pessimistic).

    PAD is no candidate. A target scored NaN ranks last. The scores are overwritten: by 0 and 1, whose sum needs no
    second array.
    """
    scores_BN[:, 0] = -torch.inf
    target_B1 = scores_BN.gather(1, targets_B.unsqueeze(1))
    digits = torch.float32 if scores_BN.shape[1] < 1 << 24 else torch.float64
    count_type = torch.promote_types(scores_BN.dtype, digits)
    at_least = scores_BN.ge_(target_B1).sum(dim=1, dtype=count_type).long()
    return torch.where(target_B1.squeeze(1).isnan(), scores_BN.shape[1] - 1, at_least)


def metrics_from_ranks(ranks: np.ndarray, metrics, topk) -> dict[str, float]:
    """``{"hit@10": …}`` over all rows, unrounded."""
    ranks = ranks.astype(np.float64)
    results = {}
    for metric in (name.lower() for name in metrics):
        for k in topk:
            inside = ranks <= k
            gain = np.ones(len(ranks)) / k if metric == "precision" else GAINS[metric](ranks)
            results[f"{metric}@{k}"] = float((gain * inside).mean())
    return results


def rows_per_batch(batch_size: int, item_num: int) -> int:
    """Rows that may be scored at once without holding more than ``MAX_SCORES`` scores."""
    return max(1, min(batch_size, MAX_SCORES // item_num))
