"""Records of runs in folders, by what decides their figures: runs that need not be done again."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.process import Terminated
from recbole_mpo.quick_start.planned_run import Identity, PlannedRun, identity_of_record
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.quick_start.run_folder import is_held

COMPLETED = "completed"
# Beginnings of the error of a run that was stopped from outside.
INTERRUPTED = (KeyboardInterrupt.__name__, Terminated.__name__)


@dataclass(frozen=True)
class _Found:
    """A record; None if its file is not one.

    ``changed`` is when the file changed last.
    """

    record: dict | None
    identity: Identity | None
    changed: int

    def is_of(self, run: PlannedRun) -> bool:
        """Return whether the record is one of a planned run; if it failed early, its data are not known."""
        if self.identity is None or self.record["seed"] != run.seed:
            return False
        return self.identity in (run.identity, run.identity._replace(files=None))


class FoundRuns:
    """The records under some folders.

    Attributes:
        unread: what was wrong with files that are no sound records.
    """

    def __init__(self):
        self.unread: list[str] = []
        self._runs: dict[Path, _Found] = {}

    @classmethod
    def under(cls, folders: Iterable[str | Path]) -> "FoundRuns":
        """Return the records that are anywhere under the folders."""
        found = cls()
        for folder in folders:
            found.read(folder)
        return found

    def read(self, folder: str | Path):
        """Read the records anywhere under a folder; of those that were read before, the ones that changed since."""
        for path in sorted(Path(folder).rglob("record.json")):
            known, changed = self._runs.get(path), path.stat().st_mtime_ns
            if known is None or known.changed != changed:
                self._runs[path] = self._read(path, changed)

    def _read(self, path: Path, changed: int) -> "_Found":
        try:
            record = read_record(path)
        except RecordError as problem:
            self.unread.append(str(problem))
            return _Found(None, None, changed)
        return _Found(record, identity_of_record(record), changed)

    @property
    def completed(self) -> list[dict]:
        """Return the records of completed runs, whatever they are of."""
        return [one.record for one in self._runs.values() if one.record and one.record["status"] == COMPLETED]

    def finished(self, run: PlannedRun) -> tuple[dict, Path] | None:
        """Return the newest completed record of a run that has its ranks, and the record's file; None without one."""
        return self._newest(run, lambda record, path: record["status"] == COMPLETED and _has_ranks(path))

    def failed(self, run: PlannedRun) -> tuple[dict, Path] | None:
        """Return the newest record of a run that failed, and its file; None without one.

        A run that was interrupted did not fail: it goes on.
        """
        return self._newest(run, lambda record, _: record["status"] == "failed" and not _was_interrupted(record))

    def unfinished(self, run: PlannedRun) -> Path | None:
        """Return the folder of a run of the same settings, data and weights that can go on; None without one."""
        # A run that failed before its data were read has nothing to go on with.
        known = self._newest(run, lambda record, path: record["data"] and _can_go_on(record, path))
        return known[1].parent if known else None

    def is_running(self, run: PlannedRun) -> bool:
        """Return whether a process trains a run of the same settings, data and weights now."""
        now = self._newest(run, lambda record, path: record["status"] != COMPLETED and is_held(path.parent))
        return now is not None

    def _newest(self, run: PlannedRun, is_wanted) -> tuple[dict, Path] | None:
        wanted = [
            (one.record, path) for path, one in self._runs.items() if one.is_of(run) and is_wanted(one.record, path)
        ]
        # The seconds of a run that was chosen by trials are those of the trials too.
        return max(wanted, key=lambda found: ("choice" not in found[0], found[0].get("started") or ""), default=None)

    def expected_seconds(self, run: PlannedRun) -> float | None:
        """Return how long a run may take at most, by completed runs of its model and dataset; None without any."""
        times = [
            record["seconds"]["per_epoch"]
            for record in (one.record for one in self._runs.values() if one.record)
            if (record["model"], record["dataset"], record["status"]) == (run.model, run.dataset, COMPLETED)
            and record["seconds"].get("per_epoch")
        ]
        return statistics.median(times) * run.epochs if times else None


def _can_go_on(record: dict, path: Path) -> bool:
    return record["status"] != COMPLETED and (path.parent / "last.pth").is_file() and not is_held(path.parent)


def _was_interrupted(record: dict) -> bool:
    return str(record.get("error")).startswith(INTERRUPTED)


def _has_ranks(path: Path) -> bool:
    return (path.parent / "ranks.npz").is_file()
