"""Shares work among processes: each piece has a lock file, which the process that works on it holds."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def claimed(path: str | Path, waits: bool = False) -> Iterator[bool]:
    """Yield whether this process alone holds a lock file in the block; the lock of a process that ends is free.

    The file stays: a process that waits for a removed one would hold nothing.

    Args:
        path: the lock file, made where it is missing.
        waits: whether to wait until others have let go of it, so that the answer is always yes.

    Raises:
        OSError: the file cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        yield _has_lock(file, waits)


def _has_lock(file: IO, waits: bool) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        # The file system has no locks: one process alone must be able to work there.
        return True
    return True
