"""Losses over the whole catalogue.

Shapes: M targets, N items (row 0 is PAD), D hidden.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_logits(states_MD: Tensor, item_vectors_ND: Tensor, temperature: float) -> Tensor:
    """Cosine similarity over temperature [M, N] (UniSRec eq. 9)."""
    return (_unit(states_MD) / temperature) @ _unit(item_vectors_ND).t()


def _unit(vectors: Tensor) -> Tensor:
    """Rows of length one. A zero row stays zero and takes no gradient.

    ``F.normalize`` gives such a row (an item without text, while the whitening biases are zero) a gradient of the
    order of 1e12; one step of it fills Adam's second moment of every bias for the rest of the training.
    """
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors * torch.where(length > 0, length, torch.inf).reciprocal()


def full_cross_entropy(logits_MN: Tensor, targets_M: Tensor, mask_pad: bool = False) -> Tensor:
    """Mean cross-entropy against every item.

    PAD's logit stays in the sum, as in UniSRec's published code, unless ``mask_pad``.
    """
    if mask_pad:
        return F.cross_entropy(logits_MN[:, 1:], targets_M - 1)
    return F.cross_entropy(logits_MN, targets_M)
