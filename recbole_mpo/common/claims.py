"""Shares work among processes: each piece has a lock file, which the process that works on it holds."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)


@contextmanager
def claimed(path: str | Path, waits: bool = False) -> Iterator[bool]:
    """Yield whether this process alone holds a lock file in the block; the lock of a process that ends is free.

    Where the file system has no locks the answer is yes, with a warning: one process alone can work there.

    Args:
        path: the lock file, made where it is missing. It may stay behind.
        waits: whether to wait until others have let go of it, so that the answer is always yes.

    Raises:
        OSError: the file cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    is_mine = _acquired(lock, path, waits)
    try:
        yield is_mine
    finally:
        lock.release()


def _acquired(lock: FileLock, path: Path, waits: bool) -> bool:
    try:
        lock.acquire(timeout=-1 if waits else 0)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as problem:
        # A file that is there and can be written is not what failed.
        if not (path.is_file() and os.access(path, os.W_OK)):
            raise
        logger.warning("cannot lock %s (%s): let one process alone work there", path, problem)
    return True
