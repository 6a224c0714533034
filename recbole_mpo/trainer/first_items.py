"""What is recommended, whether it is right or not: how many different items, and how popular they are.

Shapes: B rows, N items (0 is PAD), K items at the top of each row.
"""

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.layers.ranks import Ranks

# The list that is looked at.
TOP = 10


class FirstItems:
    """Counts how often each item is among the ``TOP`` items of a row.

    Args:
        item_num: N.
        device: where the scores are.
    """

    def __init__(self, item_num: int, device: torch.device):
        self.counts_N = torch.zeros(item_num, dtype=torch.int64, device=device)

    def add(self, scores_BN: Tensor):
        """Count the first items of rows; those with a score of -inf are not candidates."""
        scores_BK, items_BK = scores_BN.topk(min(TOP, scores_BN.shape[1] - 1), dim=1)
        shown = items_BK[scores_BK > -torch.inf]
        self.counts_N += torch.bincount(shown, minlength=len(self.counts_N))

    def metrics(self, popularity_N: np.ndarray, ranks: Ranks) -> dict[str, float]:
        """Return the share of the items that are recommended to anyone, and the mean popularity of a recommendation.

        Args:
            popularity_N: how often each item occurs in the training histories; a model may score more, such as a mask,
                which are not counted.
            ranks: the processes, each of which has counted its part of the rows.

        Returns:
            ``{"coverage@10", "popularity@10"}``.
        """
        counts_N = ranks.sum(self.counts_N).cpu().numpy()[: len(popularity_N)]
        return {
            f"coverage@{TOP}": float((counts_N[1:] > 0).mean()),
            f"popularity@{TOP}": float(counts_N @ popularity_N.astype(np.float64) / max(counts_N.sum(), 1)),
        }
