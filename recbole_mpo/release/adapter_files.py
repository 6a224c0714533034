"""Adapter files: safetensors with a JSON header, read without unpickling.

A tensor of the state dict is stored under its name after ``weights/``; all others, such as the items' tokens, under
``data/`` and a number, to which the header refers.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import replacing_path

FORMAT_VERSION = 1
# The one entry of the file's header.
HEADER = "recbole_mpo_adapter"
WEIGHTS, DATA = "weights/", "data/"
# The key of what stands for a tensor in the header.
TENSOR = "tensor"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1)]
Shape = tuple[Annotated[int, Field(ge=0)], ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseIdentity(_Strict):
    """What identifies the base of an adapter: the hash of its weights, and their shapes by name."""

    weights_sha256: Sha256
    shapes: dict[str, Shape]


class FrozenLayer(_Strict):
    """How the frozen cores of a layer follow from the base: shapes of all cores, gauge, and hashes by core's number."""

    cores: tuple[tuple[Count, Count, Count, Count], ...]
    gauge: Literal["central", "symmetric", "identity"]
    sha256: dict[Annotated[str, Field(pattern="^[0-9]+$")], Sha256]


class AdapterHeader(_Strict):
    """What an adapter's file says.

    Attributes:
        base: what identifies its base.
        names: names of the checkpoint's weights, in order.
        weights_sha256: hash of all the checkpoint's weights.
        threads: number of threads with which frozen cores follow from the base.
        frozen: layers that have such cores, by name.
        content: all else that the checkpoint has, in which ``{"tensor": number}`` stands for a tensor.
    """

    format_version: Literal[1]
    base: BaseIdentity
    names: tuple[str, ...]
    weights_sha256: Sha256
    threads: Count
    frozen: dict[str, FrozenLayer]
    content: dict[str, JsonValue]


class Adapter:
    """The content of an adapter's file.

    Args:
        header: what it says.
        weights: stored weights by name.
        tensors: other tensors by their number in the header.
    """

    def __init__(self, header: AdapterHeader, weights: dict[str, Tensor], tensors: dict[str, Tensor]):
        self.header, self.weights, self.tensors = header, weights, tensors

    @property
    def content(self) -> dict:
        """All that the checkpoint has but its weights."""
        return _unpacked(self.header.content, self.tensors)


def packed(value, tensors: dict[str, Tensor]):
    """Return plain data as JSON has it, with a number in place of each tensor, which is added to ``tensors``.

    Raises:
        TypeError: a value is neither plain data nor a tensor.
    """
    if isinstance(value, Tensor):
        number = str(len(tensors))
        tensors[number] = value
        return {TENSOR: number}
    if isinstance(value, dict):
        return {str(key): packed(entry, tensors) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [packed(entry, tensors) for entry in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} is not plain data")


def _unpacked(value, tensors: dict[str, Tensor]):
    if isinstance(value, dict):
        if value.keys() == {TENSOR}:
            return tensors[value[TENSOR]]
        return {key: _unpacked(entry, tensors) for key, entry in value.items()}
    return [_unpacked(entry, tensors) for entry in value] if isinstance(value, list) else value


def write_adapter(path: str | Path, adapter: Adapter):
    """Write an adapter; an existing file is replaced at the end, or stays as it is.

    Raises:
        CheckpointError: the file cannot be written.
    """
    tensors = {f"{WEIGHTS}{name}": weight for name, weight in adapter.weights.items()}
    tensors |= {f"{DATA}{number}": tensor for number, tensor in adapter.tensors.items()}
    # A file may not hold two tensors that share memory.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    header = json.dumps(adapter.header.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
    try:
        with replacing_path(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER: header})
    except (OSError, SafetensorError) as problem:
        raise CheckpointError(f"adapter {path} cannot be written: {problem}") from problem


def read_adapter(path: str | Path) -> Adapter:
    """Return the content of an adapter's file.

    Raises:
        CheckpointError: the file is missing, damaged, or no adapter.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"adapter {path} does not exist" if not path.is_dir() else f"{path} is a folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as problem:
        raise CheckpointError(f"adapter {path} is damaged, or not a safetensors file ({problem})") from problem
    if HEADER not in metadata:
        raise CheckpointError(f"{path} is not an adapter: recbole-mpo adapter --checkpoint=FILE --base=FILE writes one")
    header = _read_header(metadata[HEADER], path)
    weights = {name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items() if name.startswith(WEIGHTS)}
    data = {name.removeprefix(DATA): tensor for name, tensor in tensors.items() if name.startswith(DATA)}
    adapter = Adapter(header, weights, data)
    try:
        adapter.content.keys()
    except (KeyError, TypeError) as problem:
        raise CheckpointError(f"adapter {path} is damaged: it lacks its tensor data/{problem}") from problem
    return adapter


def _read_header(text: str, path: Path) -> AdapterHeader:
    try:
        content = json.loads(text)
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"adapter {path} has format {version}, but this version of recbole_mpo reads formats up to "
                f"{FORMAT_VERSION}: update recbole_mpo"
            )
        return AdapterHeader.model_validate(content)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))
        raise CheckpointError(f"adapter {path} has wrong content: {place}: {error['msg']}") from problem
    except (ValueError, RecursionError) as problem:
        raise CheckpointError(f"adapter {path} is damaged: its header is not JSON ({problem})") from problem


def is_adapter(path: str | Path) -> bool:
    """Return whether a file is an adapter."""
    try:
        return bool(read_adapter(path))
    except CheckpointError:
        return False
