"""Files of compressed models: tensors as safetensors, all else as JSON, read without unpickling.

A folder has ``compressed.json`` (settings, layers, forms), ``item_tokens.json``, tensors in four files, and
``manifest.json`` with the hashes of these, since parts of different variants may fit together and answer wrong. Three
artefacts are made of them: the training checkpoint has the weights of encoder and adaptor; a serving model has the
encoder and, to compute item vectors, adaptor and features, or else the vectors themselves.

| file | tensors |
|---|---|
| ``encoder.safetensors`` | Transformer, positions, norms |
| ``adaptor.safetensors`` | adaptor and, where there is one, the table of ids |
| ``features.safetensors`` | text features of the items |
| ``items.safetensors`` | item vectors |
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import replacing_path, write_json
from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.layers.replace import place
from recbole_mpo.layers.transformer import CausalSelfAttention
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.release.compress.compressed_layers import kinds_of, place_layers
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.item_tables import STORE, TABLE, ItemStore, StoredItems, use_store
from recbole_mpo.release.compress.method import CACHED_ITEMS, CHECKPOINT, WITH_FEATURES
from recbole_mpo.release.compress.stored_forms import Form, pack, unpack
from recbole_mpo.release.dense_twin import DENSE_MODEL, LAYER_SETTINGS
from recbole_mpo.release.folder_files import MANIFEST, check_files, read_json, write_manifest
from recbole_mpo.release.origin import OF_MACHINE, encoders_by_name

FORMAT = 1
DESCRIPTION, TOKENS = "compressed.json", "item_tokens.json"
ENCODER, ADAPTOR, FEATURES, ITEMS = (f"{part}.safetensors" for part in ("encoder", "adaptor", "features", "items"))
# The files of each artefact. Names of items and the manifest are the same in all, and are not counted.
ARTEFACTS = {
    CHECKPOINT: (DESCRIPTION, ENCODER, ADAPTOR),
    WITH_FEATURES: (DESCRIPTION, ENCODER, ADAPTOR, FEATURES),
    "serving_items": (DESCRIPTION, ENCODER, ITEMS),
    CACHED_ITEMS: (ITEMS,),
}
# What is read with stored item vectors, and without.
_READ = {True: (DESCRIPTION, TOKENS, ENCODER, ITEMS), False: (DESCRIPTION, TOKENS, ENCODER, ADAPTOR, FEATURES)}
# Longer than the tokens of ten million items.
MOST_OF_TOKENS = 1 << 30
# Settings of places on a machine.
_LEFT_OUT = OF_MACHINE | {"config_files"}
_ADAPTOR_PARTS = ("moe_adaptor.", "item_embedding.")
_PART = ":"
# What compressed.json needs.
_KEYS = ("format_version", "config", "feature_size", "feature_hash", "layers", "heads", "experts", "forms")


def write_compressed(
    folder: str | Path,
    model: nn.Module,
    context: Context,
    settings: dict,
    method: str,
    titles: Mapping[str, str] | None = None,
):
    """Write a compressed model; its item vectors are computed if they are not stored yet.

    Args:
        folder: the folder to write into.
        model: the model.
        context: how its tensors are stored.
        settings: settings of the run, plain values.
        method: the chain of methods.
        titles: texts of the items by token, for recommendations.

    Raises:
        CheckpointError: a file cannot be written.
    """
    folder = Path(folder)
    source = model.items.source if isinstance(model.items, StoredItems) else model.items
    description = _description(model, source, context, settings, method)
    state = _state(model, source)
    features = {"features": source.table.features, "is_empty": source.table.is_empty.to(torch.uint8)}
    groups: dict[str, dict[str, Tensor]] = {ENCODER: {}, ADAPTOR: {}, ITEMS: {}, FEATURES: features}
    for name, tensor in state.items():
        file = ADAPTOR if name.startswith(_ADAPTOR_PARTS) else ITEMS if name.startswith(f"{STORE}.") else ENCODER
        groups[file] |= _parts(name, tensor, context)
    try:
        write_json(folder / DESCRIPTION, description)
        tokens = [str(token) for token in model.item_tokens]
        names = {"titles": [titles.get(token, "") for token in tokens]} if titles else {}
        write_json(folder / TOKENS, {"item_tokens": tokens, **names})
        for file, tensors in groups.items():
            with replacing_path(folder / file) as path:
                save_file({name: tensor.clone() for name, tensor in pack(tensors).items()}, path)
        write_manifest(folder, (DESCRIPTION, TOKENS, *groups))
    except (OSError, SafetensorError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else None
        raise CheckpointError(f"{folder} cannot be written: {reason or problem}") from problem


def _state(model: nn.Module, source) -> dict[str, Tensor]:
    """Return the tensors of a model by name, with its item vectors and with the parts that computed them."""
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    if not isinstance(model.items, StoredItems):
        with torch.no_grad(), merged(model.eval()):
            return {**state, TABLE: model.encode_items()}
    return state | {
        f"{name}.{key}": tensor.detach()
        for name, module in source.modules.items()
        for key, tensor in module.state_dict().items()
    }


def _parts(name: str, tensor: Tensor, context: Context) -> dict[str, Tensor]:
    form = context.forms.get(name)
    return {name: tensor} if form is None else {f"{name}{_PART}{part}": t for part, t in form.parts.items()}


def _description(model: nn.Module, source, context: Context, settings: dict, method: str) -> dict:
    kept = {k: v for k, v in settings.items() if k not in _LEFT_OUT and not k.startswith(LAYER_SETTINGS)}
    adaptors = {key: module for key, module in source.modules.items() if isinstance(model.items, StoredItems)}
    return {
        "format_version": FORMAT,
        "model": DENSE_MODEL,
        "method": method,
        "config": {**encoders_by_name(kept), "model": DENSE_MODEL},
        "feature_size": source.feature_size,
        "feature_hash": model.feature_hash,
        "layers": {**kinds_of(nn.ModuleDict(adaptors)), **kinds_of(model)},
        "heads": {name: part.num_heads for name, part in _attentions(model).items()},
        "experts": len(source.adaptor.experts),
        "forms": {name: [form.kind, list(_shape(model, source, name))] for name, form in context.forms.items()},
    }


def _shape(model: nn.Module, source, name: str) -> torch.Size:
    state = model.state_dict()
    prefix, _, key = name.partition(".")
    return (state[name] if name in state else source.modules[prefix].state_dict()[key]).shape


def _attentions(model: nn.Module) -> dict[str, CausalSelfAttention]:
    return {name: module for name, module in model.named_modules() if isinstance(module, CausalSelfAttention)}


def load_compressed(folder: str | Path, cached: bool = True):
    """Return a model that ranks as the compressed one did, in evaluation mode; the dataset is not read.

    Args:
        folder: folder of a compressed model, with ``compressed.json``.
        cached: whether to use the stored item vectors; otherwise they are computed from the features, which only
            methods of item vectors leave as they were.

    Raises:
        CheckpointError: a file is missing or damaged or not the one that was written, or of an earlier version that
            wrote no hashes, or of a later one.
    """
    folder = Path(folder)
    description = _checked_description(folder, cached)
    tensors = _read_tensors(folder / ENCODER)
    tensors |= _read_tensors(folder / ITEMS) if cached else _read_tensors(folder / ADAPTOR)
    tensors = _decoded(tensors, description["forms"], folder)
    model = _dense_model(description, read_json(folder / TOKENS, MOST_OF_TOKENS, ("item_tokens",))["item_tokens"])
    attentions = _attentions(model)
    for name, heads in description["heads"].items():
        if name not in attentions:
            raise CheckpointError(f"{folder / DESCRIPTION} is of another model, which lacks attention {name}")
        attentions[name].num_heads = heads
    if cached:
        use_store(model, _store(tensors, folder))
    else:
        _use_features(model, description, _read_tensors(folder / FEATURES))
    kinds = {name: kind for name, kind in description["layers"].items() if not cached or "moe_adaptor" not in name}
    place_layers(model, kinds, tensors)
    _fill(model, tensors, folder)
    return model.eval()


def _checked_description(folder: Path, cached: bool) -> dict:
    """Return what a folder says of its model, after comparing what is read with the manifest."""
    description = read_json(folder / DESCRIPTION, keys=_KEYS)
    if description["format_version"] != FORMAT:
        raise CheckpointError(
            f"{folder / DESCRIPTION} has a format that this version does not read: update recbole_mpo"
        )
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} has no {MANIFEST} with the hashes of its files: copy the whole folder, or, if an earlier "
            "version made it, compress the checkpoint again"
        )
    check_files(folder, _READ[cached])
    return description


def titles_in(folder: str | Path) -> dict[str, str]:
    """Return the texts of a compressed model's items by token; those without text are left out.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = Path(folder) / TOKENS
    content = read_json(path, MOST_OF_TOKENS, ("item_tokens",))
    tokens, titles = content["item_tokens"], content.get("titles", [])
    if not isinstance(titles, list) or len(titles) not in (0, len(tokens)):
        raise CheckpointError(f"{path} is damaged: it has titles of other items; copy the folder again")
    return {token: title for token, title in zip(tokens, titles, strict=False) if title}


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return unpack(load_file(path))
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as problem:
        raise CheckpointError(f"{path} is missing or damaged: {problem}") from problem


def _decoded(tensors: dict[str, Tensor], forms: dict[str, list], folder: Path) -> dict[str, Tensor]:
    """Return tensors in which those with a form are decoded."""
    decoded = {name: tensor for name, tensor in tensors.items() if _PART not in name}
    for name, (kind, shape) in forms.items():
        parts = {key.removeprefix(name + _PART): t for key, t in tensors.items() if key.startswith(name + _PART)}
        if parts:
            try:
                decoded[name] = Form(kind, parts).decode().view(shape)
            except (KeyError, RuntimeError) as problem:
                raise CheckpointError(f"{folder}: tensor {name} is damaged: {problem}") from problem
    return decoded


def _dense_model(description: dict, tokens: list[str]):
    config = description["config"]
    spec, config = make_config(
        DENSE_MODEL, config["dataset"], stored={**config, "pretrained": None}, overrides={"use_gpu": False}
    )
    fields = {"iid_field": config["ITEM_ID_FIELD"], "uid_field": config["USER_ID_FIELD"]}
    size, feature_hash = description["feature_size"], description["feature_hash"]
    return spec.build(config, Catalogue(tokens, size, feature_hash, **fields))


def _store(tensors: dict[str, Tensor], folder: Path) -> ItemStore:
    if TABLE not in tensors:
        raise CheckpointError(f"{folder / ITEMS} has no item vectors")
    return ItemStore(*(tensors.get(f"{STORE}.{name}") for name in ("table", "axes")))


def _use_features(model: nn.Module, description: dict, features: dict[str, Tensor]):
    model.item_table.features = features["features"]
    model.item_table.is_empty = features["is_empty"].bool()
    model.moe_adaptor.experts = model.moe_adaptor.experts[: description["experts"]]


def _fill(model: nn.Module, tensors: dict[str, Tensor], folder: Path):
    """Give a model its tensors, of which some have other shapes than those it was built with."""
    names = model.state_dict().keys()
    if names != tensors.keys():
        raise CheckpointError(f"{folder} has other tensors than its layers need: {sorted(names ^ tensors.keys())[:6]}")
    parameters = {name for name, _ in model.named_parameters()}
    for name, tensor in tensors.items():
        place(model, name, nn.Parameter(tensor, requires_grad=False) if name in parameters else tensor)


def artefact_bytes(folder: str | Path) -> dict[str, int]:
    """Return the bytes of each artefact in a folder, and of each of its files."""
    folder = Path(folder)
    sizes = {file.name: file.stat().st_size for file in folder.iterdir() if file.suffix in (".safetensors", ".json")}
    return {
        **{name: sum(sizes[file] for file in files) for name, files in ARTEFACTS.items()},
        "files": {name: sizes[name] for name in (DESCRIPTION, ENCODER, ADAPTOR, FEATURES, ITEMS, TOKENS)},
    }
