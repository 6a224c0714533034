"""Layers of compressed models by kind: how each is made again from the tensors of a file.

Legend: O outputs, I inputs, r rank; core k of an MPO layer is (r, i, o, s).
"""

from torch import Tensor, nn

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.layers.low_rank import LowRankLinear
from recbole_mpo.layers.mpo import MPOLinear, MPOShape
from recbole_mpo.layers.replace import place
from recbole_mpo.release.compress.context import matrices
from recbole_mpo.release.compress.fast_int8 import FastInt8Linear

KINDS: dict[str, type] = {
    "linear": nn.Linear,
    "low_rank": LowRankLinear,
    "mpo": MPOLinear,
    "int8_fast": FastInt8Linear,
}


def kinds_of(model: nn.Module) -> dict[str, str]:
    """Return the kind of each layer whose matrix may be compressed, and of the layers within it, by name."""
    names = {kind: name for name, kind in KINDS.items()}
    return {
        f"{name}.{key}".rstrip("."): names[type(part)]
        for name, layer in matrices(model).items()
        for key, part in layer.named_modules()
        if type(part) in names
    }


def place_layers(model: nn.Module, kinds: dict[str, str], tensors: dict[str, Tensor]):
    """Replace layers of a model by those that a file has, with its tensors.

    Args:
        model: the model, changed in place.
        kinds: kind by the layer's name.
        tensors: tensors by name.

    Raises:
        CheckpointError: a kind is unknown, or a tensor is missing or has a wrong shape.
    """
    # The halves of a product are placed with it.
    outer = [name for name in kinds if not any(name.startswith(f"{other}.") for other in kinds)]
    for name in outer:
        try:
            place(model, name, _layer(name, kinds, tensors))
        except (AttributeError, KeyError, ValueError, IndexError, RuntimeError) as problem:
            raise CheckpointError(f"layer {name} of the compressed model cannot be made: {problem}") from problem


def _layer(name: str, kinds: dict[str, str], tensors: dict[str, Tensor]) -> nn.Module:
    kind, bias = kinds[name], tensors.get(f"{name}.bias")
    if kind == "low_rank":
        return LowRankLinear(_layer(f"{name}.inner", kinds, tensors), _layer(f"{name}.outer", kinds, tensors))
    if kind == "int8_fast":
        return FastInt8Linear(tensors[f"{name}.codes"], tensors[f"{name}.scale"], bias)
    if kind == "mpo":
        return _mpo_layer(name, tensors, bias)
    if kind != "linear":
        raise CheckpointError(f"layer {name} of the compressed model is of the unknown kind {kind!r}")
    weight = tensors[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def _mpo_layer(name: str, tensors: dict[str, Tensor], bias: Tensor | None) -> MPOLinear:
    count = sum(key.startswith(f"{name}.cores.") for key in tensors)
    cores = [tensors[f"{name}.cores.{number}"] for number in range(count)]
    inputs, outputs = 1, 1
    for core in cores:
        inputs, outputs = inputs * core.shape[1], outputs * core.shape[2]
    shape = MPOShape(
        num_cores=count,
        in_factors=[core.shape[1] for core in cores],
        out_factors=[core.shape[2] for core in cores],
        max_bond_dim=[core.shape[3] for core in cores[:-1]],
    )
    layer = MPOLinear(inputs, outputs, bias is not None, shape=shape, device="meta")
    layer.cores = nn.ParameterList(nn.Parameter(core) for core in cores)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer
