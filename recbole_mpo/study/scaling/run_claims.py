"""Claims on the runs of a study, so that processes that share its folder never do the same run."""

import time
from pathlib import Path

from filelock import FileLock, Timeout

from recbole_mpo.common.errors import RecboleMPOError

# Longer than another process takes to look whether a lock is held.
LOOK_SECONDS = 0.05


class Claims:
    """The claims of this process, each a lock that the system frees however the process ends.

    Args:
        folder: the folder of the locks, the same for all processes.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._held: dict[str, FileLock] = {}

    def take(self, name: str) -> bool:
        """Claim a run; return False if another process has it.

        Raises:
            RecboleMPOError: the file system refuses locks.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as problem:
            raise RecboleMPOError(f"cannot lock {lock.lock_file}: {problem}; give another --output") from problem
        self._held[name] = lock
        return True

    def free(self, name: str):
        """Give a run back."""
        self._held.pop(name).release()

    def are_others(self) -> bool:
        """Return whether another process has a run."""
        others = [path for path in self.folder.glob("*.lock") if path.stem not in self._held]
        return any(_is_held(path) for path in others)


def _is_held(path: Path) -> bool:
    """Return whether a process holds a lock for longer than this function does to find that out."""
    for _ in range(2):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            time.sleep(LOOK_SECONDS)
            continue
        lock.release()
        return False
    return True
