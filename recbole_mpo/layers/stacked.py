"""Weights of several linear layers of one size, stacked: dense, MPO or low-rank."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recbole_mpo.layers.mpo.contract import contract_cores
from recbole_mpo.layers.mpo.linear import MPOLinear


def merge_stacked(layers: Sequence[nn.Module]) -> Tensor:
    """The weights (E, out, in) of E linear or MPO layers; differentiable.

    MPO layers of equal core shapes are contracted together, one batched product per core; any other list
    layer by layer. Raises ValueError for an empty list or unequal sizes, TypeError for other modules.
    """
    if not layers:
        raise ValueError("merge_stacked needs at least one layer")
    for layer in layers:
        if not isinstance(layer, (MPOLinear, nn.Linear)):
            raise TypeError(f"merge_stacked takes nn.Linear and MPOLinear layers, got {type(layer).__name__}")
    sizes = sorted({(layer.in_features, layer.out_features) for layer in layers})
    if len(sizes) > 1:
        raise ValueError(f"merge_stacked needs layers of one size, got {sizes}")
    first = layers[0]
    if not all(_merges_with(first, layer) for layer in layers):
        return torch.stack([_weight(layer) for layer in layers])
    cores = [torch.stack(same) for same in zip(*(layer.cores for layer in layers), strict=True)]
    expansion = [torch.stack(same) for same in zip(*(layer.expansion for layer in layers), strict=True)]
    return first._cut(contract_cores(cores, expansion, first.expansion_bond))


def _merges_with(first: nn.Module, other: nn.Module) -> bool:
    if not (isinstance(first, MPOLinear) and isinstance(other, MPOLinear)):
        return False
    if first.holds_weight or other.holds_weight or first.expansion_bond != other.expansion_bond:
        return False
    ours, theirs = [*first.cores, *first.expansion], [*other.cores, *other.expansion]
    return [core.shape for core in ours] == [core.shape for core in theirs]


def _weight(layer: nn.Module) -> Tensor:
    """A layer's whole weight; of one that is frozen and updated by another matrix, their sum."""
    return layer.merged_weight() if hasattr(layer, "merged_weight") else layer.weight
