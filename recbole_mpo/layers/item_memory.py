"""Item memory: a table of counts beside a parametric model, with one learned weight.

A text model forgets which items were bought together. A table of counts knows that and nothing else.

Shapes: B rows, K newest items, N items (0 is PAD), E entries.
"""

import torch
from torch import Tensor, nn

from recbole_mpo.layers.losses import SparseLogits


def newest_items(item_seq: Tensor, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the newest ``count`` items of left-aligned histories, the last one first, and which of them exist.

    Args:
        item_seq: ids [B, L], padded on the right.
        lengths: number of items of each history [B].
        count: number of items to return per history, K.

    Returns:
        Ids [B, K] and whether each item exists [B, K]; where it does not, the id has no meaning.
    """
    back_BK = lengths.unsqueeze(1) - 1 - torch.arange(count, device=lengths.device)
    return item_seq.gather(1, back_BK.clamp(min=0)), back_BK >= 0


class ItemMemory(nn.Module):
    """Table of counts that adds ``a * log(1 + factor * sum_k w_k C[x_k, j])`` to the logit of item j.

    x_k is the k-th last item of the history. C [N, N] is symmetric and counts how often two items are neighbours in
    training histories. The weight a starts at 0 and is learned. A training pair must not see its own count, else a
    learns to trust a table that holds the answer; ``forward`` subtracts it.

    Args:
        starts: [N + 1] where each item's neighbours begin, as in a CSR matrix.
        neighbours: [nnz] ids of the neighbours.
        counts: [nnz] how often each is a neighbour.
        weights: [K] w_k, first that of the last item.
        factor: how soon a count saturates.
    """

    def __init__(self, starts: Tensor, neighbours: Tensor, counts: Tensor, weights: list[float], factor: float):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.factor = factor
        tables = {"starts": starts.long(), "neighbours": neighbours.long(), "counts": counts.float()}
        for name, table in {**tables, "recent_weights": torch.tensor(weights)}.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, recent_BK: Tensor, exists_BK: Tensor, targets_B: Tensor | None = None) -> SparseLogits:
        """Return the entries to add to logits [B, N].

        Args:
            recent_BK: the newest items, the last one first.
            exists_BK: which of them exist.
            targets_B: targets of training rows; one count of each pair (last item, target) is subtracted.
        """
        rows, columns, counts = self._weighted_counts(recent_BK, exists_BK, targets_B)
        places, place_of = torch.unique(rows * (len(self.starts) - 1) + columns, return_inverse=True)
        sums = torch.zeros(len(places), dtype=counts.dtype, device=counts.device).index_add_(0, place_of, counts)
        values = self.weight * torch.log1p(self.factor * sums.clamp_(min=0.0))
        return SparseLogits(places // (len(self.starts) - 1), places % (len(self.starts) - 1), values)

    def _weighted_counts(self, recent_BK, exists_BK, targets_B):
        """Return row, item and weighted count of each neighbour of each recent item; (row, item) may repeat."""
        row_P, age_P = exists_BK.nonzero(as_tuple=True)
        item_P = recent_BK[row_P, age_P]
        begin_P, end_P = self.starts[item_P], self.starts[item_P + 1]
        length_P = end_P - begin_P
        pair = torch.repeat_interleave(length_P)
        offset_P = begin_P - (length_P.cumsum(0) - length_P)
        entry = torch.arange(len(pair), device=pair.device) + offset_P[pair]
        rows, columns = row_P[pair], self.neighbours[entry]
        counts = self.counts[entry]
        if targets_B is not None:
            # An earlier recent item may equal the last one and then reads the same entry. A pair of equal items
            # counts twice, on the diagonal.
            last_B = recent_BK[:, 0]
            is_training_pair = (item_P == last_B[row_P])[pair] & (columns == targets_B[rows])
            counts = counts - is_training_pair * (1.0 + (last_B == targets_B).float()[rows])
        return rows, columns, counts * self.recent_weights[age_P[pair]]
