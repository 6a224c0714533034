"""Losses over the whole catalogue.

Shapes: M targets, N items (row 0 is PAD), D hidden.
"""

import torch.nn.functional as F
from torch import Tensor


def cosine_logits(states_MD: Tensor, item_vectors_ND: Tensor, temperature: float) -> Tensor:
    """Cosine similarity over temperature [M, N] (UniSRec eq. 9)."""
    states = F.normalize(states_MD, dim=-1)
    items = F.normalize(item_vectors_ND, dim=-1)
    return (states / temperature) @ items.t()


def full_cross_entropy(logits_MN: Tensor, targets_M: Tensor, mask_pad: bool = False) -> Tensor:
    """Mean cross-entropy against every item.

    PAD's logit stays in the sum, as in UniSRec's published code, unless ``mask_pad``.
    """
    if mask_pad:
        return F.cross_entropy(logits_MN[:, 1:], targets_M - 1)
    return F.cross_entropy(logits_MN, targets_M)
