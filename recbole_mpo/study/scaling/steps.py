"""The steps of a scaling study: what there is to do, the runs, the fits, and the report."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.announce import announce
from recbole_mpo.study.scaling.grid_runs import GridRuns
from recbole_mpo.study.scaling.plan import Plan


@dataclass(frozen=True)
class Study:
    """A plan and the folder of its results.

    Attributes:
        made: the plan.
        output: the folder, which several processes may share.
    """

    made: Plan
    output: Path

    @classmethod
    def of(cls, content: dict, output: str | Path, overrides: dict | None = None) -> "Study":
        """Return the study that a plan describes; the arguments are those of :meth:`Plan.read`.

        Raises:
            ConfigError: the plan is not well described.
        """
        return cls(Plan.read(content, overrides), Path(output))

    def plan(self):
        """Print the runs, their sizes, and about how long those take that are not done.

        Raises:
            RecboleMPOError: a run cannot be planned, or a dataset cannot be read.
        """
        announce(self.made, self._runs(self.made.cells))

    def run(self, shard: str | None = None, jobs: int = 1, max_hours: float | None = None) -> list[str]:
        """Do the runs that are missing; return those that failed, one line each.

        Args:
            shard: ``I/N`` for every N-th run from the I-th on; all by default.
            jobs: how many runs there are at a time.
            max_hours: time after which no run goes on; the same call goes on with them.

        Raises:
            ConfigError: the part is none.
            RecboleMPOError: a run cannot be planned; the message names it.
        """
        cells = self.made.shard(*read_shard(shard)) if shard else self.made.cells
        deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
        return self._runs(cells, jobs, deadline).finish()

    def _runs(self, cells, jobs: int = 1, deadline: float | None = None) -> GridRuns:
        runs = GridRuns(cells, self.output, jobs, deadline)
        runs.found.read(self.output / RUNS)
        for problem in runs.found.unread:
            print(f"Not looked at: {problem}")
        return runs


def read_shard(text: str) -> tuple[int, int]:
    """Return the number of a part, from 1, and how many parts there are.

    Raises:
        ConfigError: the text is not ``I/N`` with I from 1 to N.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(f"shard must be I/N with I from 1 to N, such as 1/12, not {text!r}")
    return number, count
