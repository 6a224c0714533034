"""The steps of a scaling study: what there is to do, the runs, the fits, and the report."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, RecordError
from recbole_mpo.common.files import write_json
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.all_fits import fit_all, main_outcomes
from recbole_mpo.study.scaling.announce import announce
from recbole_mpo.study.scaling.grid_runs import GridRuns
from recbole_mpo.study.scaling.outcomes import Outcome, begun_runs, find_outcomes
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.predicted_runs import read_prediction
from recbole_mpo.study.scaling.prediction import predict, records_hash
from recbole_mpo.study.scaling.scaling_report import write_scaling_report

FIT = "fit.json"


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
        """Do the runs that are missing; return those that failed or are left over, one line each.

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

    def fit(self) -> dict:
        """Predict what is held back if that is still to be run, fit all laws, and write ``fit.json``; return it.

        Raises:
            RecordError: there are too few runs, or a record does not hold what is needed.
        """
        outcomes = self._outcomes()
        self._predict(outcomes)
        content = fit_all(self.made, outcomes)
        write_json(self.output / FIT, content)
        print(f"{self.output / FIT}: laws of {', '.join(content['metrics'])} from {len(content['runs'])} runs")
        return content

    def _predict(self, outcomes: list[Outcome]):
        main = [cell for cell in self.made.cells if self.made.main in cell.groups]
        held_back = [cell for cell in main if cell.is_held_back]
        if not held_back:
            return
        known = [one for one in main_outcomes(self.made, outcomes) if not one.cell.is_held_back]
        begun = begun_runs(held_back, self.output / RUNS)
        missing = len(main) - len(held_back) - len(known)
        if missing and len(begun) < len(held_back):
            print(f"no prediction yet: {missing} runs of {self.made.main} are not done")
        else:
            print(predict(self.output, self.made.metrics, known, held_back, begun))

    def report(self) -> list[Path]:
        """Write the report of the runs that are done, and of the laws that were fitted; return its files.

        Raises:
            RecordError: nothing is fitted yet, or a record does not hold what is needed.
        """
        outcomes, path = self._outcomes(), self.output / FIT
        if not path.is_file():
            raise RecordError(f"{path} does not exist: give the same command with fit in place of report")
        fits = json.loads(path.read_text(encoding="utf-8"))
        if fits["records_hash"] != records_hash(outcomes):
            raise RecordError(f"{path} was fitted to other records than there are now: fit again")
        files = write_scaling_report(self.made, outcomes, fits, read_prediction(self.output), self.output)
        print("report: " + ", ".join(str(file) for file in files if file.parent == self.output))
        return files

    def _outcomes(self) -> list[Outcome]:
        outcomes, problems = find_outcomes(self.made.cells, self.output / RUNS)
        for problem in problems:
            print(f"Not used: {problem}")
        return outcomes

    def _runs(self, cells, jobs: int = 1, deadline: float | None = None) -> GridRuns:
        runs = GridRuns(cells, self.output, self.made.metrics, jobs, deadline)
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
