"""Random masks and prefixes of histories, for cloze tasks.

Shapes: B rows, L length.
"""

import torch
from torch import Tensor


def draw_prefixes(items_BL: Tensor, ratio: float) -> Tensor:
    """Return the rows, each cut with probability ``ratio`` to a prefix of random length, at least two items."""
    lengths_B1 = (items_BL != 0).sum(dim=1, keepdim=True)
    drawn_B2 = torch.rand(len(items_BL), 2, device=items_BL.device)
    prefix_B1 = 2 + (drawn_B2[:, :1] * (lengths_B1 - 1)).long()
    length_B1 = torch.where(drawn_B2[:, 1:] < ratio, prefix_B1, lengths_B1)
    return items_BL.masked_fill(torch.arange(items_BL.shape[1], device=items_BL.device) >= length_B1, 0)


def draw_masks(items_BL: Tensor, mask_ratio: float, ft_ratio: float) -> Tensor:
    """Return which positions to mask [B, L]: at least one per row, and no padding.

    Args:
        items_BL: ids, padded with 0 on the right.
        mask_ratio: probability of masking an item.
        ft_ratio: probability of masking only the last item of a row.
    """
    real = items_BL != 0
    lengths_B1 = real.sum(dim=1, keepdim=True)
    last = torch.arange(items_BL.shape[1], device=items_BL.device) == lengths_B1 - 1
    chance = torch.rand(items_BL.shape, device=items_BL.device).masked_fill(~real, torch.inf)
    # If no position is below the ratio, the lowest is masked.
    drawn = (chance < mask_ratio) | (chance == chance.amin(dim=1, keepdim=True))
    only_last = torch.rand(len(items_BL), 1, device=items_BL.device) < ft_ratio
    return torch.where(only_last, last, drawn & real)
