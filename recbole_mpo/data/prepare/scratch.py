"""Folders for files that nobody needs after the end of a preparation, also if it is killed."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Marks a folder as made here; its maker holds a lock on it until it is done.
MARK = ".recbole-mpo-scratch"


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in ``parent`` and delete it at the end, and with it those that killed processes left there.

    Raises:
        OSError: the folder cannot be made.
    """
    for leftover in parent.glob(f"{glob.escape(prefix)}????????"):
        _delete_if_left(leftover)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        with open(folder / f"{MARK}.new", "w") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX)
            # Only now may another process find the mark.
            os.rename(mark.name, folder / MARK)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _delete_if_left(folder: Path):
    """Delete a folder that has the mark, unless its maker still runs."""
    try:
        with open(folder / MARK) as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # it was not made here, or is in use
