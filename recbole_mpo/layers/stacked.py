"""Stacked weights of several linear layers of the same size: dense, MPO or low-rank.

Legend: E layers; W (out, in) is the weight of one layer; core k of an MPO layer is (r, i, o, s).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.layers.mpo.contract import contract_cores
from recbole_mpo.layers.mpo.linear import MPOLinear


def merge_stacked(layers: Sequence[nn.Module]) -> Tensor:
    """Return the weights (E, out, in) of E linear layers; differentiable.

    MPO layers with equal core shapes are contracted together, with one batched product per core. Any other layers are
    merged one by one.

    Args:
        layers: ``nn.Linear`` or ``MergeableLinear`` layers of the same size.

    Raises:
        ValueError: the list is empty, or the layers have different sizes.
        TypeError: a module is neither an ``nn.Linear`` nor a ``MergeableLinear``.
    """
    if not layers:
        raise ValueError("merge_stacked needs at least one layer")
    for layer in layers:
        if not isinstance(layer, MergeableLinear | nn.Linear):
            raise TypeError(f"merge_stacked takes nn.Linear and MergeableLinear layers, got {type(layer).__name__}")
    sizes = sorted({(layer.in_features, layer.out_features) for layer in layers})
    if len(sizes) > 1:
        raise ValueError(f"merge_stacked needs layers of one size, got {sizes}")
    first = layers[0]
    if not all(_contracts_with(first, layer) for layer in layers):
        return torch.stack([_whole_weight(layer) for layer in layers])
    cores = [torch.stack(same) for same in zip(*(layer.cores for layer in layers), strict=True)]
    expansion = [torch.stack(same) for same in zip(*(layer.expansion for layer in layers), strict=True)]
    return first.cut_padding(contract_cores(cores, expansion, first.expansion_bond))


def _contracts_with(first: nn.Module, second: nn.Module) -> bool:
    """Return whether both are MPO layers with the same core shapes, and neither holds a merged weight."""
    if not (isinstance(first, MPOLinear) and isinstance(second, MPOLinear)):
        return False
    if first.holds_weight or second.holds_weight or first.expansion_bond != second.expansion_bond:
        return False
    first_shapes, second_shapes = (
        [core.shape for core in (*layer.cores, *layer.expansion)] for layer in (first, second)
    )
    return first_shapes == second_shapes


def _whole_weight(layer: nn.Module) -> Tensor:
    return layer.merged_weight() if isinstance(layer, MergeableLinear) else layer.weight
