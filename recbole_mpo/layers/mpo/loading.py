"""Fit a checkpoint to an MPO layer before torch loads it: dense weights, truncated cores, new expansion cores.

Legend: core k is (r, i, o, s); an expansion core is (d, 1, 1, d) with d the dimension of its bond.
Each function ``_adopt_...`` edits the state dict or resizes the layer, and returns the problem, or None.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Adopting(Protocol):
    """A layer into which such checkpoints can be loaded."""

    in_features: int
    out_features: int
    cores: nn.ParameterList
    expansion: nn.ParameterList
    expansion_bond: int
    gauge: str

    @property
    def num_cores(self) -> int: ...

    @property
    def in_factors(self) -> tuple[int, ...]: ...

    @property
    def out_factors(self) -> tuple[int, ...]: ...

    @property
    def bond_dims(self) -> tuple[int, ...]: ...

    def decompose_dense(self, weight: Tensor) -> list[Tensor]: ...

    def initial_expansion(self) -> list[Tensor]: ...

    def replace_cores(self, values: Sequence[Tensor]) -> None: ...


def adopt_checkpoint(layer: Adopting, state_dict: dict, prefix: str) -> str | None:
    """Make a state dict loadable into a layer; return the problem if that is not possible, else None.

    Otherwise ``load_state_dict(strict=False)`` would ignore a dense weight and leave the cores random.

    Args:
        layer: the layer, resized if necessary.
        state_dict: the checkpoint's weights, edited in place.
        prefix: prefix of the layer's keys, with the dot at its end.
    """
    dense, cores = prefix + "weight", [f"{prefix}cores.{k}" for k in range(layer.num_cores)]
    if dense in state_dict and cores[0] not in state_dict:
        problem = _adopt_dense(layer, state_dict, state_dict.pop(dense), cores)
    else:
        problem = _adopt_shapes(layer, [state_dict[key].shape for key in cores if key in state_dict])
    if problem is None and cores[0] in state_dict:
        problem = _adopt_expansion(layer, state_dict, prefix + "expansion.", state_dict[cores[0]].device)
    return problem


def _adopt_dense(layer: Adopting, state_dict: dict, weight: Tensor, keys: Sequence[str]) -> str | None:
    expected = (layer.out_features, layer.in_features)
    if tuple(weight.shape) != expected:
        return f"size mismatch for weight: the checkpoint has {tuple(weight.shape)}, the layer has {expected}"
    if not torch.isfinite(weight).all():
        return "the checkpoint's weight has NaN or infinite entries"
    for key, core in zip(keys, layer.decompose_dense(weight), strict=True):
        state_dict[key] = core.to(device=weight.device, dtype=layer.cores[0].dtype)
    return None


def _adopt_shapes(layer: Adopting, shapes: Sequence[torch.Size]) -> str | None:
    if len(shapes) < layer.num_cores or list(shapes) == [core.shape for core in layer.cores]:
        return None
    bonds = [(shape[0], shape[-1]) for shape in shapes]
    chained = bonds[0][0] == bonds[-1][1] == 1 and all(
        left[1] == right[0] for left, right in zip(bonds[:-1], bonds[1:], strict=True)
    )
    factors = list(zip(layer.in_factors, layer.out_factors, strict=True))
    if not chained or [tuple(shape[1:-1]) for shape in shapes] != factors:
        described = ", ".join(str(tuple(shape)) for shape in shapes)
        return f"the checkpoint's cores {described} do not fit {layer.in_factors} x {layer.out_factors}"
    layer.replace_cores([torch.empty(shape) for shape in shapes])
    if layer.gauge == "identity":  # possible only with full bonds
        layer.gauge = "central"
    return None


def _adopt_expansion(layer: Adopting, state_dict: dict, prefix: str, device: torch.device) -> str | None:
    saved, present = sum(key.startswith(prefix) for key in state_dict), len(layer.expansion)
    if saved and saved != present:
        return f"the checkpoint has {saved} expansion cores, the layer has {present}: call expand() to match"
    if not present:
        return None
    size = layer.bond_dims[layer.expansion_bond - 1]
    for k, core in enumerate(layer.expansion):
        if core.shape[0] != size:
            resized = core.new_empty(size, 1, 1, size)
            layer.expansion[k] = nn.Parameter(resized, requires_grad=core.requires_grad)
    if not saved:
        for k, start in enumerate(layer.initial_expansion()):
            state_dict[f"{prefix}{k}"] = start.to(device=device, dtype=layer.expansion[k].dtype)
    return None
