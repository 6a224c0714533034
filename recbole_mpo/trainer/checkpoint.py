"""Checkpoints: plain data only, written atomically, read without unpickling code.

RecBole pickles its ``Config`` object into checkpoints. ``torch.load`` rightly refuses these since torch 2.6, because
reading a pickle can run code. Here a checkpoint is a dict of tensors, numbers, strings and lists.
"""

import pickle
import zipfile
from contextlib import contextmanager
from pathlib import Path

import torch

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import compare_checksums, replacing
from recbole_mpo.trainer.checkpoint_content import OTHERS, check_content, content_hash
from recbole_mpo.trainer.data_identity import check_identity
from recbole_mpo.trainer.finite import names_not_finite
from recbole_mpo.trainer.other_names import describe_differences

FORMAT_VERSION = 1
# Where a checkpoint has the hash of its other content.
HASH_KEY = "content_sha256"
# What follows a layer's name in the names of the weights that `merge` makes dense.
MERGEABLE = (".cores.0", ".lora_A")
# How torch before 1.6 begins a file: a pickle of its magic number.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class PickledObjectsError(CheckpointError):
    """A checkpoint holds pickled objects, such as the ``Config`` of RecBole."""


def save_checkpoint(state: dict, path: str | Path):
    """Write a checkpoint atomically: after a crash the old file is still there.

    Args:
        state: plain data; the format version and a hash of the content are added.
        path: the file to write.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        with replacing(path) as file:
            state = {"format_version": FORMAT_VERSION, **state}
            torch.save({**state, HASH_KEY: content_hash(state)}, file)
    except (OSError, RuntimeError) as problem:
        # torch says where in its archive it failed; the system's error, such as a full disk, is in the context.
        cause = problem.__context__ if isinstance(problem.__context__, OSError) else problem
        reason = cause.strerror if isinstance(cause, OSError) else None
        reason = reason or str(cause.args[0] if cause.args else cause).splitlines()[0]
        raise CheckpointError(
            f"checkpoint {path} cannot be written: {reason}; what was there before is unchanged"
        ) from problem


def load_checkpoint(path: str | Path) -> dict:
    """Return the content of a checkpoint, on the CPU, read with ``weights_only=True``.

    Args:
        path: the file to read.

    Returns:
        The data that ``save_checkpoint`` was given, and ``format_version``.

    Raises:
        CheckpointError: the file is missing or damaged, was not written by this package, has a newer format, or has
            a field of a wrong type or size.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give a file in it, such as {path / 'best.pth'}")
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist")
    with _named(path):
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile(_what_else(path))
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or "state_dict" not in state:
        raise CheckpointError(f"checkpoint {path} has no 'state_dict'; it was not written by this package")
    version = state.get("format_version", 0)
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format {version}, but this version of recbole_mpo reads formats up to "
            f"{FORMAT_VERSION}: update recbole_mpo"
        )
    written = state.pop(HASH_KEY, None)
    check_content(state, path)
    with _named(path):
        # Files of older versions have no hash.
        if written not in (None, content_hash(state)):
            raise ValueError("its content is not what was written")
    return state


def has_key(path: str | Path, key: str) -> bool:
    """Return whether a file is a checkpoint with this key, by which a command knows the files that it wrote."""
    try:
        return key in load_checkpoint(path)
    except CheckpointError:
        return False


@contextmanager
def _named(path: Path):
    """Turn all that can go wrong while a file is read into one line that names the file."""
    try:
        yield
    except pickle.UnpicklingError as problem:
        raise PickledObjectsError(
            f"checkpoint {path} holds pickled objects, which can run code, so it was not loaded; "
            "save only its weights, torch.save({'state_dict': ...}), with the program that wrote it"
        ) from problem
    # A foreign archive may contain anything, and torch checks little of it.
    except Exception as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0]
        raise CheckpointError(
            f"checkpoint {path} is damaged or truncated, or not a checkpoint ({reason}); {OTHERS}"
        ) from problem


def _what_else(path: Path) -> str:
    """Return what a file is that is not an archive."""
    with open(path, "rb") as file:
        if file.read(len(LEGACY_START)) == LEGACY_START:
            return "written by torch before 1.6: load it with a later torch and save it again"
    return "not an archive of torch.save"


def check_archive(path: Path):
    """Raise BadZipFile where a part of the archive is compressed or not what was written, or parts overlap."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"its part {part.filename} is compressed, which torch.save does not do")
        # Many parts may be the same bytes, so that reading them takes far more memory and time than the file is long.
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise zipfile.BadZipFile("its parts are longer than the file")
        compare_checksums(archive)


def load_weights(model, state_dict: dict, path: str | Path):
    """Load weights into a model by name.

    Args:
        model: the model, changed in place.
        state_dict: weights by name.
        path: file of the weights, for messages.

    Raises:
        CheckpointError: names, shapes or kinds of numbers differ (the message lists them), or weights are infinite or
            not a number.
    """
    kinds = {name: weight.is_floating_point() for name, weight in model.state_dict().items()}
    other_kind = [
        name
        for name, weight in state_dict.items()
        if name in kinds and (weight.is_floating_point() != kinds[name] or weight.is_complex())
    ]
    if other_kind:
        raise CheckpointError(f"checkpoint {path} has {_names('numbers of another kind in', other_kind)}; {OTHERS}")
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as problem:
        fix = "; `recbole-mpo merge` writes it as a dense model" if _needs_merge(state_dict, kinds) else ""
        raise CheckpointError(
            f"checkpoint {path} is of another architecture: {describe_differences(problem)}{fix}"
        ) from problem
    blown_up = names_not_finite(dict(model.named_parameters()))
    if blown_up:
        raise CheckpointError(
            f"checkpoint {path} has weights that are infinite or not a number: {_names('', blown_up)}; its training "
            "blew up, so start a new run with a lower learning_rate"
        )


def _needs_merge(state_dict: dict, kinds: dict) -> bool:
    """Return whether weights have MPO or LoRA layers where the model has dense ones."""
    layers = {name.removesuffix(end) for name in state_dict for end in MERGEABLE if name.endswith(end)}
    extended = {name.removesuffix(end) for name in kinds for end in MERGEABLE if name.endswith(end)}
    return bool(layers) and not extended and all(f"{layer}.weight" in kinds for layer in layers)


def _names(label: str, names) -> str:
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:6])
    return f"{label}{' ' if label else ''}{shown}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"


def restore_model(model, state: dict, path: str | Path, allows_edits: bool = False):
    """Load the weights of a checkpoint into a model of the same data.

    Args:
        model: the model, changed in place.
        state: content of the checkpoint.
        path: file of the checkpoint, for messages.
        allows_edits: whether some items may have other text features than in training.

    Raises:
        CheckpointError: the checkpoint has other data or another architecture.
    """
    check_identity(state, model, path, allows_edits)
    load_weights(model, state["state_dict"], path)
    other = state.get("other_parameter") or {}
    # RecBole sets an attribute of the model for each of them.
    if other and other.keys() != model.other_parameter().keys():
        raise CheckpointError(f"checkpoint {path} has {_names('other_parameter', other)}, which the model has not")
    model.load_other_parameter(other)
