"""Writes the files of a prepared dataset: all of them or none, and in place of nothing that others made."""

import json
import os
import re
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash, write_json
from recbole_mpo.data.atomic_files import MANIFEST, SHARDS_SUFFIX, SINGLE_SUFFIX, SPLIT_SUFFIXES, check_name
from recbole_mpo.data.domain_ids import DOMAINS_SUFFIX
from recbole_mpo.data.prepare.scratch import scratch_folder
from recbole_mpo.data.shard_manifest import ITEMS

INTERACTIONS = (*SPLIT_SUFFIXES, SINGLE_SUFFIX, f"{SHARDS_SUFFIX}/{MANIFEST}")
# All other files that a preparation may write, except the card. One that is left from another layout or an older
# preparation must be deleted, because it would be read together with the new files.
OTHER_FILES = (".item2index", ".user2index", DOMAINS_SUFFIX, ".text", f"{SHARDS_SUFFIX}/{ITEMS}")
CARD = "README.md"
# Lists the sha256 of each file that a preparation has made in the folder.
RECORD = ".prepared.json"
# Older preparations have no record, but their card lists the files; its own line is this one.
_CARD_ROW = re.compile(r"\| (?P<name>[^|]+) \|(?:[^|]*\|)? (?P<sha256>[0-9a-f]{64}) \|")
_CARD_MADE = re.compile(r"^(Made by recbole-mpo |Several datasets as one; )", re.MULTILINE)


def is_there(data_path: str | Path, name: str) -> bool:
    """Return whether a dataset has an interaction file."""
    return any((Path(data_path) / name / f"{name}{suffix}").is_file() for suffix in INTERACTIONS)


def file_names(name: str, *folders: Path) -> tuple[str, ...]:
    """Return the names of all files that a preparation may write, interaction files last.

    Parts of sharded interactions, of which there may be any number, are those that are in one of the ``folders``.
    """
    parts = {f"{name}{SHARDS_SUFFIX}/{path.name}" for folder in folders for path in _parts(folder, name)}
    return (
        CARD,
        *(f"{name}{suffix}" for suffix in OTHER_FILES),
        *sorted(parts),
        *(f"{name}{suffix}" for suffix in INTERACTIONS),
    )


def _parts(folder: Path, name: str) -> list[Path]:
    return list((folder / f"{name}{SHARDS_SUFFIX}").glob("part-*.parquet"))


def refuse_strangers(data_path: str | Path, name: str, inputs: Iterable[str | Path] = ()):
    """Refuse a folder in which a preparation would replace or delete a file that it did not make, or its own input.

    Args:
        data_path, name: the new files are in ``<data_path>/<name>``.
        inputs: the files and folders that the preparation reads.

    Raises:
        ConfigError: ``name`` is not a name.
        DataError: there is such a file.
    """
    check_name(name)
    folder = Path(data_path) / name
    read = {Path(path).resolve() for path in inputs}
    made = _hashes_of_made(folder)
    for file_name in file_names(name, folder):
        path = folder / file_name
        if not os.path.lexists(path):
            continue
        if read & {path.resolve(), *path.resolve().parents}:
            raise DataError(f"{path} is an input of this preparation and would be replaced by it; give another name")
        if not path.is_file() or file_hash(path) not in made.get(file_name, ()):
            raise DataError(
                f"{path} was not made by prepare, or has changed since, and would be replaced or deleted; move it away "
                "or give another name"
            )


def _hashes_of_made(folder: Path) -> dict[str, list[str]]:
    """Return the hashes that each file may have if a preparation made it."""
    try:
        return {str(file): list(hashes) for file, hashes in json.loads((folder / RECORD).read_text("utf-8")).items()}
    except FileNotFoundError:
        return _hashes_of_card(folder / CARD)
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _hashes_of_card(path: Path) -> dict[str, list[str]]:
    try:
        card = path.read_text("utf-8")
    except (OSError, ValueError):
        return {}
    if not _CARD_MADE.search(card):
        return {}
    return {match["name"]: [match["sha256"]] for match in _CARD_ROW.finditer(card)} | {CARD: [file_hash(path)]}


@contextmanager
def new_files(data_path: str | Path, name: str):
    """Yield an empty folder for a dataset's files; they replace those in ``<data_path>/<name>`` when the block ends.

    Other files there stay. Interaction files are deleted first and moved last, so a dataset that has one is complete.

    Raises:
        DataError: the files cannot be written, or would replace a file that others made; files from before stay.
    """
    folder = Path(data_path) / name
    refuse_strangers(data_path, name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"{folder}: cannot be written ({problem.strerror}); give another --data_path") from problem
    try:
        with scratch_folder(folder.parent, f".{name}.") as stage:
            yield stage
            folder.mkdir(exist_ok=True)
            refuse_strangers(data_path, name)
            _take_places(stage, folder, name)
    except OSError as problem:
        raise DataError(f"{folder}: cannot be written ({problem.strerror or problem})") from problem


def _take_places(stage: Path, folder: Path, name: str):
    """Move the new files to their places, and delete those that have no successor."""
    names = file_names(name, stage, folder)
    new = {file_name: file_hash(stage / file_name) for file_name in names if (stage / file_name).is_file()}
    # If the process is killed from here on, some files are old and some are new: all were made by a preparation.
    old = {file_name: file_hash(folder / file_name) for file_name in names if (folder / file_name).is_file()}
    write_json(folder / RECORD, {key: [*{old.get(key), new.get(key)} - {None}] for key in {**old, **new}})
    for suffix in INTERACTIONS:
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
    for file_name in names:
        if file_name in new:
            (folder / file_name).parent.mkdir(exist_ok=True)
            os.replace(stage / file_name, folder / file_name)
        else:
            (folder / file_name).unlink(missing_ok=True)
    with suppress(OSError):
        # A folder of parts without parts is none; one with a stranger's files stays.
        (folder / f"{name}{SHARDS_SUFFIX}").rmdir()
    write_json(folder / RECORD, {key: [value] for key, value in new.items()})
