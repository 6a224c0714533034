"""Magnitude pruning: the smallest entries of all matrices together become zero.

Han et al., "Learning both weights and connections for efficient neural networks", NeurIPS 2015.
"""

import torch
from torch import nn

from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import MATRICES, Method


@torch.no_grad()
def prune(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Set the smallest entries of the matrices of adaptor and Transformer to zero; return the model.

    One threshold serves all matrices. With an L1 penalty the model is trained before, so that more entries are small.

    Args:
        model: the model with dense layers, changed in place.
        share: share of the entries that become zero.
        context: gets the masks, which further training keeps.
    """
    if context.penalty and context.train:
        with torch.enable_grad():
            context.train(model, context, context.epochs)
    weights = {f"{name}.weight": layer.weight for name, layer in matrices(model).items()}
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    count = round(share * len(magnitudes))
    kept = torch.ones(len(magnitudes), dtype=torch.bool)
    kept[magnitudes.topk(count, largest=False).indices] = False
    parts = kept.split([weight.numel() for weight in weights.values()])
    for (name, weight), part in zip(weights.items(), parts, strict=True):
        context.masks[name] = part.view_as(weight)
        weight.masked_fill_(~context.masks[name], 0.0)
    context.notes["prune"] = {"zeros": count, "of": len(magnitudes)}
    return model


PRUNE = Method(
    "prune",
    MATRICES,
    prune,
    strength="share of the entries of all matrices that become zero",
    stored="the entries that are not zero, with a column of 1 or 2 bytes each, where that is smaller",
    bounds=(0.01, 0.99),
    is_trained=True,
)
