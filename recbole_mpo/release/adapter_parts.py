"""Which weights of a fine-tuned checkpoint its base has, which follow from the base, and which have to be stored.

A frozen MPO core is not a weight of the base: it comes from the decomposition of one, in float64. That gives the same
bits again on the same kind of machine with the same number of threads, and differs in the last bits otherwise. So the
number of threads is part of an adapter, and so are the hashes of what is to be decomposed again.

Legend: core k is (r, i, o, s), r and s bond dimensions, i and o input and output factors.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_mpo.layers.mpo.decompose import decompose

# What to do with frozen cores: decompose the base again, or store them.
FROZEN = ("rebuilt", "stored")
CORES = ".cores."
DEFAULT_GAUGE = "central"


@dataclass(frozen=True)
class LayerShape:
    """What the decomposition of a layer's dense weight depends on.

    Attributes:
        cores: shapes of the cores.
        gauge: gauge of the cores.
    """

    cores: tuple[tuple[int, ...], ...]
    gauge: str


@dataclass(frozen=True)
class Parts:
    """The weights of a checkpoint, as an adapter sees them.

    Attributes:
        stored: weights that differ from the base, or that it lacks.
        from_base: names of the weights that the base has, bit for bit.
        rebuilt: names of the cores that follow from a weight of the base.
        threads: number of threads with which they do.
    """

    stored: dict[str, Tensor]
    from_base: list[str]
    rebuilt: list[str]
    threads: int


def split_weights(
    weights: dict[str, Tensor], base: dict[str, Tensor], gauge: str | None, threads: Iterable[int | None]
) -> Parts:
    """Return the ``Parts`` of a checkpoint's weights.

    Args:
        weights: weights of the checkpoint.
        base: weights of its base.
        gauge: gauge of the checkpoint's cores; None for the default one.
        threads: numbers of threads with which its training may have decomposed the base.
    """
    from_base = [name for name, weight in weights.items() if name in base and same_bits(weight, base[name])]
    layers = layer_shapes(weights, gauge)
    numbers = list(dict.fromkeys(number for number in (*threads, 1, 2, os.cpu_count() or 1) if number))
    best, rebuilt = numbers[0], []
    for number in numbers if any(f"{layer}.weight" in base for layer in layers) else ():
        cores = decomposed(layers, base, weights, number)
        same = [name for name, core in cores.items() if name in weights and same_bits(weights[name], core)]
        if len(same) > len(rebuilt):
            best, rebuilt = number, same
        if len({layer_of(name) for name in rebuilt}) == len(layers):
            break
    present = {*from_base, *rebuilt}
    return Parts({name: value for name, value in weights.items() if name not in present}, from_base, rebuilt, best)


def layer_of(name: str) -> str:
    """Return the name of the layer that a core belongs to."""
    return name.rpartition(CORES)[0]


def layer_shapes(weights: dict[str, Tensor], gauge: str | None) -> dict[str, LayerShape]:
    """Return the shapes of the MPO layers in a state dict by name."""
    shapes: dict[str, dict[int, tuple[int, ...]]] = {}
    for name, weight in weights.items():
        layer, middle, number = name.rpartition(CORES)
        if middle and number.isdigit():
            shapes.setdefault(layer, {})[int(number)] = tuple(weight.shape)
    in_order = {layer: tuple(cores[k] for k in sorted(cores)) for layer, cores in shapes.items()}
    return {layer: LayerShape(cores, gauge or DEFAULT_GAUGE) for layer, cores in in_order.items()}


def decomposed(
    layers: dict[str, LayerShape], base: dict[str, Tensor], like: dict[str, Tensor], threads: int
) -> dict[str, Tensor]:
    """Return the cores that the base's dense weights of some layers give, by name.

    Layers without a weight in the base, or whose shape does not fit it, have none.

    Args:
        layers: the layers.
        base: weights of the base.
        like: weights whose types the cores get, by name; float32 where one is absent.
        threads: number of threads.
    """
    cores: dict[str, Tensor] = {}
    with using_threads(threads):
        for layer, shape in layers.items():
            weight = base.get(f"{layer}.weight")
            if weight is None or not _fits(shape, weight):
                continue
            _, in_factors, out_factors, right = zip(*shape.cores, strict=True)
            values = decompose(weight, in_factors, out_factors, right[:-1], shape.gauge)
            for k, core in enumerate(values):
                name = f"{layer}{CORES}{k}"
                dtype = like[name].dtype if name in like else torch.float32
                cores[name] = core.to(dtype).contiguous()
    return cores


def _fits(shape: LayerShape, weight: Tensor) -> bool:
    """Return whether cores of a shape can be those of a weight, which may be padded."""
    if weight.dim() != 2 or any(len(core) != 4 for core in shape.cores):
        return False
    outputs, inputs = 1, 1
    for _, i, o, _ in shape.cores:
        inputs, outputs = inputs * i, outputs * o
    return inputs >= weight.shape[1] and outputs >= weight.shape[0]


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Compute with this number of threads inside a ``with`` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have the same type, shape and bits; -0 is not 0, and a NaN is itself."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return torch.equal(_as_bytes(first), _as_bytes(second))


def tensor_hash(tensor: Tensor) -> str:
    """Return the sha256 of a tensor's numbers."""
    return hashlib.sha256(_as_bytes(tensor).numpy()).hexdigest()


def _as_bytes(tensor: Tensor) -> Tensor:
    # Cloned because any stride counts as contiguous where there is one entry or none, but not for a view as bytes.
    return tensor.detach().cpu().reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8)
