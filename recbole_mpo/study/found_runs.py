"""Records of runs in folders, by what decides their figures: runs that need not be done again."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start.planned_run import Identity, PlannedRun, identity_of_record
from recbole_mpo.quick_start.record import read_record

COMPLETED = "completed"


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

    def finished(self, run: PlannedRun) -> tuple[dict, Path] | None:
        """Return the newest completed record of a run that has its ranks, and the record's file; None without one."""
        return self._newest(run, lambda record, path: record["status"] == COMPLETED and _has_ranks(path))

    def failed(self, run: PlannedRun) -> tuple[dict, Path] | None:
        """Return the newest record of a run that failed, and its file; None without one."""
        return self._newest(run, lambda record, _: record["status"] == "failed")

    def _newest(self, run: PlannedRun, is_wanted) -> tuple[dict, Path] | None:
        wanted = [
            (one.record, path) for path, one in self._runs.items() if one.is_of(run) and is_wanted(one.record, path)
        ]
        return max(wanted, key=lambda found: found[0].get("started") or "", default=None)

    def expected_seconds(self, run: PlannedRun) -> float | None:
        """Return how long a run may take at most, by completed runs of its model and dataset; None without any."""
        times = [
            record["seconds"]["per_epoch"]
            for record in (one.record for one in self._runs.values() if one.record)
            if (record["model"], record["dataset"], record["status"]) == (run.model, run.dataset, COMPLETED)
            and record["seconds"].get("per_epoch")
        ]
        return statistics.median(times) * run.epochs if times else None


def _has_ranks(path: Path) -> bool:
    return (path.parent / "ranks.npz").is_file()
