"""Checkpoints: plain data only, written atomically, read without unpickling code.

RecBole pickles its Config object into checkpoints, which ``torch.load`` refuses since torch 2.6, rightly: a
pickle runs code. Here a checkpoint is a dict of tensors, numbers, strings and lists.
"""

import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import replacing

FORMAT_VERSION = 1
OTHERS = "use another one, such as last.pth or best.pth of the same run"


def save_checkpoint(state: dict, path: str | Path):
    """Write ``state`` with the format version; a crash leaves the former file untouched.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        with replacing(path) as file:
            torch.save({"format_version": FORMAT_VERSION, **state}, file)
    except (OSError, RuntimeError) as problem:
        raise CheckpointError(f"checkpoint {path} cannot be written: {problem}") from problem


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint to the CPU with ``weights_only=True``.

    Raises:
        CheckpointError: missing, truncated, not of this package, or of a newer format.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give a file in it, such as {path / 'best.pth'}")
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"checkpoint {path} is damaged or truncated, or no checkpoint at all; {OTHERS}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise CheckpointError(
            f"checkpoint {path} holds pickled objects and was not loaded, for they can run code; "
            "save its weights alone, torch.save({'state_dict': ...}), with the program that made it"
        ) from problem
    except (RuntimeError, EOFError, zipfile.BadZipFile, ValueError, OSError) as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0]
        raise CheckpointError(f"checkpoint {path} is damaged or truncated ({reason}); {OTHERS}") from problem
    if not isinstance(state, dict) or "state_dict" not in state:
        raise CheckpointError(f"checkpoint {path} has no 'state_dict'; it was not written by this package")
    if state.get("format_version", 0) > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format {state['format_version']}, this version reads up to {FORMAT_VERSION}"
        )
    return state


def load_weights(model, state_dict: dict, path: str | Path):
    """Load weights by name.

    Raises:
        CheckpointError: names or shapes differ; lists them.
    """
    try:
        missing, unexpected = model.load_state_dict(state_dict, strict=False)
    except RuntimeError as problem:
        raise CheckpointError(f"checkpoint {path} is of another architecture: {_shape_lines(problem)}") from problem
    if missing or unexpected:
        raise CheckpointError(
            f"checkpoint {path} is of another architecture: "
            f"{_names('it lacks', missing)}{'; ' if missing and unexpected else ''}"
            f"{_names('it has besides', unexpected)}"
        )


def _names(label: str, names) -> str:
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:6])
    return f"{label} {shown}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"


def _shape_lines(problem: RuntimeError) -> str:
    lines = [line.strip() for line in str(problem).splitlines()[1:]]
    return " ".join(lines[:4]) + (f" (and {len(lines) - 4} more)" if len(lines) > 4 else "")


# What :func:`identity` gives.
IDENTITY_KEYS = ("item_num", "item_tokens", "feature_size", "item_hash", "feature_hash", "counts_hash")


def identity(model) -> dict:
    """Return what a checkpoint says of its model's data: the items by token, the text features' size, and hashes."""
    return {
        "item_num": model.n_items,
        "item_tokens": _as_bytes(model.item_tokens),
        "feature_size": model.feature_size,
        "item_hash": model.item_hash,
        "feature_hash": model.feature_hash,
        "counts_hash": model.counts_hash,
    }


def _as_bytes(tokens: Iterable[str]) -> Tensor:
    # One tensor: reading a list of a million strings without unpickling code takes seconds.
    return torch.frombuffer(bytearray("\n".join(map(str, tokens)).encode()), dtype=torch.uint8)


def item_tokens(state: dict) -> list[str] | None:
    """Return the item tokens [N] of a checkpoint by internal id; None of one that older versions wrote."""
    tokens = state.get("item_tokens")
    return None if tokens is None else bytes(tokens.numpy()).decode().split("\n")


def restore_model(model, state: dict, path: str | Path):
    """Give a model the weights of a checkpoint of the same data.

    Raises:
        CheckpointError: of other data, or of another architecture.
    """
    check_identity(state, model, path)
    load_weights(model, state["state_dict"], path)
    model.load_other_parameter(state.get("other_parameter"))


def check_identity(state: dict, model, path: str | Path):
    """Refuse a checkpoint of other items, another numbering of them, other text features, or other counts.

    ``model`` carries ``item_hash`` and, where it takes text, ``feature_hash``; where it counts, ``counts_hash``.
    """
    model.check_items(state.get("item_hash"), path)
    if state.get("feature_hash") != model.feature_hash:
        raise CheckpointError(
            f"checkpoint {path} was trained on item features {_short(state.get('feature_hash'))}, the model has "
            f"{_short(model.feature_hash)}: restore the item text, encoder or feature_file it was trained with "
            "(encoding on another device may differ in rounding: copy cache_dir), or start a new run with --pretrained"
        )
    if state.get("counts_hash") != model.counts_hash:
        raise CheckpointError(
            f"checkpoint {path} belongs to other counts of training interactions than these data give: restore its "
            "interaction files and settings, or start a new run"
        )


def _short(feature_hash: str | None) -> str:
    return feature_hash[:12] if feature_hash else "none"
