"""The files of a model folder: written all or none, listed with their hashes, and compared when they are read."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from recbole_mpo import __version__
from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import file_hash, write_json
from recbole_mpo.common.values import shown
from recbole_mpo.data.prepare.scratch import scratch_folder

MANIFEST, CARD = "manifest.json", "README.md"
CONFIG, ITEMS = "config.json", "items.jsonl"
WEIGHTS, VECTORS, EVIDENCE, TEXT = (
    f"{name}.safetensors" for name in ("model", "item_vectors", "evidence", "text")
)  # fmt: skip
# All that a folder may hold, and what it must.
FILES = (WEIGHTS, CONFIG, ITEMS, VECTORS, EVIDENCE, TEXT, CARD)
NEEDED = (WEIGHTS, CONFIG, ITEMS, VECTORS)
# What a folder of ONNX graphs may hold instead.
ONNX_DESCRIPTION = "onnx.json"
GRAPHS = ("sequence_encoder.onnx", "scoring.onnx", "item_encoder.onnx", ONNX_DESCRIPTION)
FORMAT_VERSION, WRITER = 1, "recbole_mpo"
# Longer than a manifest or the settings of any run.
MOST_BYTES = 4 << 20
# Whole numbers from here on are not exact in JSON of other programs, and are no setting.
LARGEST = 1 << 53
SHA256 = re.compile(r"[0-9a-f]{64}")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder for files, to which a manifest is added; it takes its place when the block ends.

    Args:
        path: the folder to make. One that is there is replaced only if it has nothing but what was written here.

    Raises:
        CheckpointError: something else is there, or the files cannot be written; what was there before stays.
    """
    path = Path(path).resolve()
    check_replaceable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path.parent, f".{path.name}.") as scratch:
            stage = scratch / "new"
            stage.mkdir()
            yield stage
            write_manifest(stage, [one.name for one in stage.iterdir()])
            check_replaceable(path)
            if path.exists():
                os.rename(path, scratch / "old")
            _rename_or_restore(stage, path, scratch / "old")
    except (OSError, SafetensorError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else None
        raise CheckpointError(
            f"model folder {path} cannot be written: {reason or problem}; nothing was changed"
        ) from problem


def write_manifest(folder: Path, names: Iterable[str]):
    """Write the manifest of some files of a folder: the size and the sha256 of each."""
    files = {name: {"sha256": file_hash(folder / name), "size": (folder / name).stat().st_size} for name in names}
    content = {"format_version": FORMAT_VERSION, "written_by": f"{WRITER} {__version__}"}
    write_json(folder / MANIFEST, {**content, "files": dict(sorted(files.items()))})


def _rename_or_restore(stage: Path, path: Path, former: Path):
    """Move a folder to its place; where that fails, move the former one back."""
    try:
        os.rename(stage, path)
    except BaseException:
        if former.exists():
            os.rename(former, path)
        raise


def check_replaceable(path: Path):
    """Refuse a place where something is that was not written here.

    Raises:
        CheckpointError: a file is there, or a folder of others, or one with files of others.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise CheckpointError(f"output {path} is a file; name the folder to write")
    names = sorted(one.name for one in path.iterdir())
    if not names:
        return
    if MANIFEST not in names:
        raise CheckpointError(f"output {path} exists and is not of export; name another folder, or move it away first")
    manifest = read_json(path / MANIFEST)
    if not str(manifest.get("written_by", "")).startswith(WRITER):
        raise CheckpointError(f"output {path} exists and is not of export; name another folder, or move it away first")
    strangers = [name for name in names if name not in (*FILES, *GRAPHS, MANIFEST)]
    if strangers:
        raise CheckpointError(
            f"output {path} has {shown(strangers[0])}, which export did not write and would lose; move it away first"
        )


def checked_files(folder: Path) -> set[str]:
    """Return the names of a model folder's files after comparing all but the card with the manifest.

    Raises:
        CheckpointError: the folder is none of these, has a newer format, or a file is missing or differs.
    """
    if not folder.is_dir():
        raise CheckpointError(f"model folder {folder} does not exist")
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(f"{folder} is not a model folder, it has no {MANIFEST}; recbole-mpo export writes one")
    files = _listed(folder)
    foreign = [name for name in files if name not in FILES]
    if foreign:
        raise CheckpointError(
            f"model folder {folder}: {MANIFEST} names {shown(foreign[0])}, which no model folder has; nothing was read"
        )
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise CheckpointError(f"model folder {folder}: {MANIFEST} does not list {missing[0]}; copy the folder again")
    for name, entry in files.items():
        # People may edit the card.
        if name != CARD:
            _check_file(folder / name, entry)
    return set(files)


def check_files(folder: Path, names: Iterable[str]):
    """Compare some files of a folder with its manifest.

    Raises:
        CheckpointError: the manifest cannot be read or has a newer format, or a file is missing, differs or is not
            listed.
    """
    files = _listed(folder)
    for name in names:
        _check_file(folder / name, files.get(name))


def _listed(folder: Path) -> dict:
    """Return the entries of a folder's manifest by the names of files."""
    manifest = read_json(folder / MANIFEST)
    check_version(manifest, folder)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise CheckpointError(f"model folder {folder}: {MANIFEST} lists no files; copy the folder again")
    return files


def _check_file(path: Path, entry):
    is_entry = isinstance(entry, dict) and isinstance(entry.get("size"), int)
    if not is_entry or not SHA256.fullmatch(str(entry.get("sha256"))):
        raise CheckpointError(f"{path.parent / MANIFEST} gives {path.name} no size or no sha256; copy the folder again")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; copy the whole folder")
    if path.stat().st_size != entry["size"] or file_hash(path) != entry["sha256"]:
        raise CheckpointError(f"{path} is not what was written, its size or sha256 differs; copy the folder again")


def check_version(content: dict, folder: Path):
    """Refuse what a newer version wrote.

    Raises:
        CheckpointError: the format is newer, or there is none.
    """
    version = content.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(f"model folder {folder} does not say which format it has; recbole-mpo export writes one")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"model folder {folder} has format {shown(version)}, but this version of recbole_mpo reads formats up to "
            f"{FORMAT_VERSION}: update recbole_mpo"
        )


def read_json(path: Path, most: int = MOST_BYTES, keys: tuple[str, ...] = ()) -> dict:
    """Return the object of a file of JSON, whose numbers are all of a usual size.

    Args:
        path: the file.
        most: largest number of its bytes.
        keys: what it must have.

    Raises:
        CheckpointError: the file cannot be read, is too long, or holds something else.
    """
    try:
        if path.stat().st_size > most:
            raise ValueError(f"it has {path.stat().st_size} bytes, more than {most}")
        content = json.loads(
            path.read_text(encoding="utf-8"), parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        if missing := [key for key in keys if key not in content]:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except OSError as problem:
        raise CheckpointError(f"{path} cannot be read: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise CheckpointError(f"{path} is damaged: {str(problem)[:200]}; copy the folder again") from problem
    return content


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) >= LARGEST:
        raise ValueError(f"the number {text[:20]}… is too large")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return float(text)
