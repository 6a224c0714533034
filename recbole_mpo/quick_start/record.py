"""The run record: one JSON file per run, from which all tables are computed."""

import json
import zipfile
import zlib
from importlib import metadata
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import compare_checksums, replacing
from recbole_mpo.quick_start.record_schema import FORMAT_VERSION, fault_of

# What a damaged archive raises, by the place of the damage.
_DAMAGED = (ValueError, EOFError, NotImplementedError, RuntimeError, MemoryError, zlib.error, zipfile.BadZipFile)
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
    """Return a run's record after checking its keys and the types of their values.

    Args:
        path: the record's file or the run's folder.

    Raises:
        RecordError: the file is missing, is not JSON, lacks keys or has a value of another type; the message names the
            field.
    """
    path = record_file(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as problem:
        raise RecordError(f"record {path} cannot be read: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise RecordError(f"record {path} is not valid JSON: {problem}") from problem
    fault = fault_of(record)
    if fault:
        raise RecordError(f"record {path} {fault}")
    return record


def record_file(path: str | Path) -> Path:
    """Return the path of a record that was given by its file or its run's folder."""
    path = Path(path)
    return path / "record.json" if path.is_dir() else path


def _refuse_constant(name: str):
    raise ValueError(f"it holds {name}")


def write_ranks(ranks: dict[str, dict[str, np.ndarray]], path: str | Path):
    """Write the ranks of each split to a compressed ``.npz`` file, as int32 [R]: ``test_rank``, ``test_user``, …

    Raises:
        RecordError: the file cannot be written.
    """
    arrays = {f"{split}_{name}": column for split, columns in ranks.items() for name, column in columns.items()}
    try:
        with replacing(path) as file:
            np.savez_compressed(file, **arrays)
    except OSError as problem:
        raise RecordError(f"ranks {path} cannot be written: {problem.strerror or problem}") from problem


def read_ranks(path: str | Path, split: str) -> dict[str, np.ndarray]:
    """Return the columns of one split that :func:`write_ranks` wrote, each [R].

    Args:
        path: the ``.npz`` file.
        split: ``valid`` or ``test``.

    Raises:
        RecordError: the file is missing or damaged, or its columns are not those of ranks.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"ranks {path} do not exist: runs with eval_mode=recbole and copied records have none")
    try:
        with zipfile.ZipFile(path) as archive:
            # Reading an array stops at its last byte, before zipfile compares the checksum.
            compare_checksums(archive)
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if name.startswith(f"{split}_")]
            columns = {name.removeprefix(f"{split}_"): file[name] for name in names}
    except (*_DAMAGED, OSError) as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0]
        raise RecordError(f"ranks {path} cannot be read, they may be damaged: {reason}") from problem
    _check_ranks(columns, split, path)
    return columns


def _check_ranks(columns: dict[str, np.ndarray], split: str, path: Path):
    for name in ("user", "rank"):
        if name not in columns:
            raise RecordError(f"ranks {path} lack {split}_{name}; they are not a run's ranks.npz")
    # numpy gives a part that is not an array as bytes.
    rows = columns["rank"].shape if isinstance(columns["rank"], np.ndarray) else None
    for name, column in columns.items():
        is_column = isinstance(column, np.ndarray) and column.ndim == 1 and column.shape == rows
        if not is_column or column.dtype.kind not in "iu":
            raise RecordError(f"ranks {path}: {split}_{name} is not a column of whole numbers, one per target")
    if (columns["rank"] < 1).any():
        raise RecordError(f"ranks {path}: {split}_rank holds a rank below 1")


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that influence results."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
