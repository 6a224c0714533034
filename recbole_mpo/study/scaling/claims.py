"""Claims on the runs of a study, so that processes that share its folder never do the same run."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recbole_mpo.common.errors import RecboleMPOError


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
        for path in self.folder.glob("*.lock"):
            if path.stem in self._held:
                continue
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return True
            with suppress(OSError):
                lock.release()
        return False
