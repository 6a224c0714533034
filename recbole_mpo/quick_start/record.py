"""The run record: one JSON file per run, from which all tables are computed."""

import json
from importlib import metadata
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import replacing

FORMAT_VERSION = 1
REQUIRED = (
    "status", "model", "dataset", "seed", "item_input", "data", "config", "params", "valid", "test", "seconds"
)  # fmt: skip
PACKAGES = ("recbole-mpo", "recbole", "torch", "numpy", "pandas", "scipy", "safetensors", "sentence-transformers")


def write_record(record: dict, path: str | Path):
    """Write a record atomically, creating the folder.

    Raises:
        RecordError: the file cannot be written.
    """
    path = Path(path)
    text = json.dumps({"format_version": FORMAT_VERSION, **record}, indent=2, allow_nan=False) + "\n"
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as problem:
        raise RecordError(f"record {path} cannot be written: {problem.strerror or problem}") from problem


def read_record(path: str | Path) -> dict:
    """Return a run's record after checking that it has the necessary keys.

    Args:
        path: the record's file or the run's folder.

    Raises:
        RecordError: the file is missing, is not JSON, or lacks keys, which the message names.
    """
    path = Path(path)
    path = path / "record.json" if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise RecordError(f"record {path} cannot be read: {problem.strerror}") from problem
    except ValueError as problem:
        raise RecordError(f"record {path} is not valid JSON: {problem}") from problem
    missing = [key for key in REQUIRED if not isinstance(record, dict) or key not in record]
    if missing:
        raise RecordError(f"record {path} lacks {', '.join(missing)}; it is not a run's record.json")
    return record


def write_ranks(ranks: dict[str, dict[str, np.ndarray]], path: str | Path):
    """Write the ranks of each split to a compressed ``.npz`` file, as int32 [R]: ``test_rank``, ``test_user``, …"""
    arrays = {f"{split}_{name}": column for split, columns in ranks.items() for name, column in columns.items()}
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that influence results."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
