"""Writes the files of a prepared dataset: all of them or none."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.atomic_files import SINGLE_SUFFIX, SPLIT_SUFFIXES
from recbole_mpo.data.domain_ids import DOMAINS_SUFFIX

INTERACTIONS = (*SPLIT_SUFFIXES, SINGLE_SUFFIX)
# All other files that a preparation may write, except the card. One that is left from another layout or an older
# preparation must be deleted, because it would be read together with the new files.
OTHER_FILES = (".item2index", ".user2index", DOMAINS_SUFFIX, ".text")
CARD = "README.md"


def is_there(data_path: str | Path, name: str) -> bool:
    """Return whether a dataset has an interaction file."""
    return any((Path(data_path) / name / f"{name}{suffix}").is_file() for suffix in INTERACTIONS)


@contextmanager
def new_files(data_path: str | Path, name: str):
    """Yield an empty folder for a dataset's files; they replace those in ``<data_path>/<name>`` when the block ends.

    Other files there stay. Interaction files are deleted first and moved last, so a dataset that has one is complete.

    Raises:
        DataError: the files cannot be written; files from before stay.
    """
    folder = Path(data_path) / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}."))
    except OSError as problem:
        raise DataError(f"{folder}: cannot be written ({problem.strerror}); give another --data_path") from problem
    try:
        yield stage
        folder.mkdir(exist_ok=True)
        for suffix in INTERACTIONS:
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
        for file_name in (CARD, *(f"{name}{suffix}" for suffix in (*OTHER_FILES, *INTERACTIONS))):
            if (stage / file_name).is_file():
                os.replace(stage / file_name, folder / file_name)
            else:
                (folder / file_name).unlink(missing_ok=True)
    except OSError as problem:
        raise DataError(f"{folder}: cannot be written ({problem.strerror or problem})") from problem
    finally:
        shutil.rmtree(stage, ignore_errors=True)
