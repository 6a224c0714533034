"""An adapter from a checkpoint and its base, and the checkpoint from an adapter and its base.

One pre-trained base serves many shops: each shop's adapter has the weights that its training changed, its settings and
what identifies its data. Put back on the base they give the weights of the whole checkpoint bit for bit, without the
optimizer's state.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.starting import read_source
from recbole_mpo.release.adapter_files import (
    FORMAT_VERSION,
    Adapter,
    AdapterHeader,
    BaseIdentity,
    FrozenLayer,
    is_adapter,
    packed,
    read_adapter,
    write_adapter,
)
from recbole_mpo.release.adapter_parts import (
    CORES,
    LayerShape,
    Parts,
    decomposed,
    layer_shapes,
    split_weights,
    tensor_hash,
)
from recbole_mpo.release.adapter_report import AdapterReport, sizes_of
from recbole_mpo.release.origin import FEATURE_FILES, OF_MACHINE, encoders_by_name, is_absolute
from recbole_mpo.release.replaced_files import check_output
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.checkpoint_content import DATA_KEYS, content_hash

logger = logging.getLogger(__name__)

# What evaluation, recommendation and pre-training read of a checkpoint beside its weights.
KEPT = ("model", "config", *DATA_KEYS, "epoch", "other_parameter")
# Key of checkpoints that were put together from an adapter: the hash of the base. Only files with it are replaced.
ADAPTER_BASE = "adapter_base"


def weights_hash(weights: dict[str, Tensor]) -> str:
    """Return the sha256 of weights by name, in whatever order they stand."""
    return content_hash({name: weights[name] for name in sorted(weights)})


def take_adapter(path: str | Path, base: str | Path, output: str | Path, frozen: str = "rebuilt") -> AdapterReport:
    """Write what a checkpoint has beyond its base.

    Args:
        path: file of the checkpoint.
        base: file of the checkpoint that its run started from (``pretrained``), or of UniSRec's published code.
        output: the safetensors file to write. An existing file is replaced only if it is an adapter.
        frozen: one of ``FROZEN``. ``rebuilt``: frozen cores are decomposed from the base again, which needs a machine
            that rounds alike; ``stored``: they are part of the adapter.

    Returns:
        The sizes of the parts.

    Raises:
        CheckpointError: a file cannot be read or written, or ``output`` is another file that would be lost.
    """
    output = Path(output)
    check_output(output, {"checkpoint": path, "base": base}, is_adapter, "an adapter")
    state, source = checkpoint.load_checkpoint(path), read_source(Path(base)).weights
    weights = state["state_dict"]
    gauge = state.get("config", {}).get("mpo_gauge")
    parts = split_weights(weights, source, gauge, [torch.get_num_threads(), state.get("rng", {}).get("threads")])
    if not parts.from_base and not parts.rebuilt:
        logger.warning("all weights of %s differ from those of %s: the adapter is as large as they are", path, base)
    if frozen == "stored":
        parts = Parts({**parts.stored, **{name: weights[name] for name in parts.rebuilt}}, parts.from_base, [], 1)
    tensors: dict[str, Tensor] = {}
    header = AdapterHeader(
        format_version=FORMAT_VERSION,
        base=BaseIdentity(weights_sha256=weights_hash(source), shapes=_shapes(source)),
        names=tuple(weights),
        weights_sha256=weights_hash(weights),
        threads=parts.threads,
        frozen=_frozen_layers(parts.rebuilt, weights, gauge),
        content=_content(state, tensors, path),
    )
    write_adapter(output, Adapter(header, parts.stored, tensors))
    return sizes_of(parts, weights, tensors, {"base": base, "checkpoint": path, "adapter": output})


def _content(state: dict, tensors: dict[str, Tensor], path: str | Path) -> dict:
    """Return what the adapter keeps of a checkpoint but its weights; tensors are added to ``tensors``."""
    kept = {key: state[key] for key in KEPT if key in state}
    if "config" in kept:
        kept["config"] = without_places(kept["config"])
    try:
        return packed(kept, tensors)
    except TypeError as problem:
        raise CheckpointError(f"checkpoint {path} has what an adapter has no place for: {problem}") from problem


def without_places(settings: dict) -> dict:
    """Return settings without paths of one machine: those that do not begin at the folder of the project."""
    places = [key for key in settings if key in (*OF_MACHINE, "config_files") and _is_place(settings[key])]
    kept = {key: value for key, value in settings.items() if key not in places}
    # By its name a file of features is looked for beside the dataset.
    files = {key: Path(settings[key]).name for key in FEATURE_FILES if key in places}
    return encoders_by_name({**kept, **files}, keeps_relative=True)


def _is_place(value) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_place, value))
    return isinstance(value, str) and is_absolute(value)


def _shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _frozen_layers(rebuilt: list[str], weights: dict[str, Tensor], gauge: str | None) -> dict[str, FrozenLayer]:
    shapes = layer_shapes(weights, gauge)
    hashes: dict[str, dict[str, str]] = {}
    for name in rebuilt:
        layer, _, number = name.rpartition(CORES)
        hashes.setdefault(layer, {})[number] = tensor_hash(weights[name])
    return {
        layer: FrozenLayer(cores=shapes[layer].cores, gauge=shapes[layer].gauge, sha256=of_layer)
        for layer, of_layer in hashes.items()
    }


def whole_weights(adapter: Adapter, base: dict[str, Tensor], path: str | Path, base_path: str | Path):
    """Return the weights by name that an adapter and its base give together.

    Args:
        adapter: the adapter.
        base: weights of the base.
        path: file of the adapter, for messages.
        base_path: file of the base, for messages.

    Raises:
        CheckpointError: it is another base, or its decomposition has other bits here.
    """
    check_base(adapter.header, base, path, base_path)
    header = adapter.header
    shapes = {name: LayerShape(layer.cores, layer.gauge) for name, layer in header.frozen.items()}
    cores = decomposed(shapes, base, adapter.weights, header.threads) if shapes else {}
    expected = {
        f"{name}{CORES}{k}": value for name, layer in header.frozen.items() for k, value in layer.sha256.items()
    }
    others = [name for name, value in expected.items() if name not in cores or tensor_hash(cores[name]) != value]
    if others:
        raise CheckpointError(
            f"{len(others)} of {len(expected)} frozen cores of adapter {path} (such as {others[0]}) have other bits "
            f"when {base_path} is decomposed on this machine with {header.threads} thread(s), so the checkpoint cannot "
            "be put back bit for bit: take the adapter with --frozen=stored where its checkpoint is"
        )
    known = {**base, **{name: cores[name] for name in expected}, **adapter.weights}
    missing = [name for name in header.names if name not in known]
    if missing:
        raise CheckpointError(f"adapter {path} is damaged: it lacks {', '.join(missing[:3])}")
    weights = {name: known[name] for name in header.names}
    if weights_hash(weights) != header.weights_sha256:
        raise CheckpointError(f"adapter {path} is damaged: its weights are not what was written")
    return weights


def check_base(header: AdapterHeader, base: dict[str, Tensor], path: str | Path, base_path: str | Path):
    """Refuse a base that is not the adapter's.

    Raises:
        CheckpointError: the message names both hashes, and a weight of another shape.
    """
    found = weights_hash(base)
    if found == header.base.weights_sha256:
        return
    shapes = _shapes(base)
    others = sorted(name for name in {*shapes, *header.base.shapes} if shapes.get(name) != header.base.shapes.get(name))
    place = f"; they differ in names or shapes too, such as {others[0]}" if others else ""
    raise CheckpointError(
        f"adapter {path} belongs to a base with the weights {header.base.weights_sha256}, but {base_path} has {found}"
        f"{place}: give the file that its run started from"
    )


def put_back(path: str | Path, base: str | Path, output: str | Path):
    """Write the checkpoint that an adapter and its base give together, for ``evaluate``, ``recommend`` and ``merge``.

    Its weights are those of the checkpoint that the adapter was taken from, bit for bit. It has no optimizer's state.

    Args:
        path: file of the adapter.
        base: file of its base.
        output: the file to write. An existing file is replaced only if it was put together from an adapter.

    Raises:
        CheckpointError: a file cannot be read or written, it is another base, its decomposition has other bits here, or
            ``output`` is another file that would be lost.
    """
    output = Path(output)
    check_output(output, {"adapter": path, "base": base}, _is_put_back, "of adapter")
    adapter, source = read_adapter(path), read_source(Path(base)).weights
    weights = whole_weights(adapter, source, path, base)
    content = {ADAPTER_BASE: adapter.header.base.weights_sha256, **adapter.content, "state_dict": weights}
    checkpoint.save_checkpoint(content, output)


def _is_put_back(path: Path) -> bool:
    return checkpoint.has_key(path, ADAPTER_BASE)
