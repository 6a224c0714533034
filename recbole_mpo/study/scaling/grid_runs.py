"""Does the runs of a plan that are missing; several processes may share the folder, each with a part of the plan."""

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from recbole_mpo.common.progress import duration
from recbole_mpo.quick_start.expected_size import built_model
from recbole_mpo.study.found_runs import FoundRuns
from recbole_mpo.study.matrix import Cell, naming
from recbole_mpo.study.progress_table import Line, ProgressTable
from recbole_mpo.study.run_process import RUNS, RunProcess
from recbole_mpo.study.scaling.cells import METRICS, GridCell
from recbole_mpo.study.scaling.predicted_runs import predicted_titles, read_prediction
from recbole_mpo.study.scaling.run_claims import Claims

CLAIMS = "claims"
LOOK_SECONDS = 0.5
# How long nobody must have worked in the folder before this process gives up waiting for a run of another part.
QUIET_SECONDS = 60


@dataclass
class GridRuns:
    """The missing runs of a part of a plan.

    Attributes:
        cells: the runs of this process.
        output: folder of the study.
        metrics: what must be predicted of a run that is held back before it is begun.
        jobs: how many runs there are at a time.
        deadline: when to stop, in seconds of ``time.monotonic``; None for no limit.
        quiet_seconds: how long to wait after the last sign of others.
    """

    cells: tuple[GridCell, ...]
    output: Path
    metrics: tuple[str, ...] = METRICS
    jobs: int = 1
    deadline: float | None = None
    quiet_seconds: float = QUIET_SECONDS
    found: FoundRuns = field(default_factory=FoundRuns)
    running: dict[int, RunProcess] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        self.claims = Claims(self.output / CLAIMS)
        self.waiting = [*range(len(self.cells))]
        self.table = ProgressTable([Line(cell.title, "waiting") for cell in self.cells])
        self._planned: dict[tuple, Cell] = {}

    def finish(self) -> list[str]:
        """Do the runs until none is left or the time is over; return what failed or was left over, one line each.

        A run that is done is skipped, one that was interrupted goes on, one that failed is tried again, once. A run
        that starts from another waits for it, whoever does it. What is to be predicted waits for the prediction, and
        is not among what was left over.

        Raises:
            RecboleMPOError: a run cannot be planned; the message names it.
        """
        # A run that is not possible is named before hours of others; seeds do not matter to that.
        for cell in {cell.row.name: cell for cell in self.cells}.values():
            with naming(cell.row.name):
                built_model(cell.planned().plan)
        quiet_since = time.monotonic()
        try:
            while self.waiting or self.running:
                if self.deadline is not None and time.monotonic() > self.deadline:
                    break
                self.found.read(self.output / RUNS)
                self._look()
                self._start_what_can()
                if self._has_nothing_to_begin():
                    break
                if self.running or (self.waiting and self.claims.are_others()):
                    quiet_since = time.monotonic()
                # Another part may be between two runs.
                elif time.monotonic() - quiet_since > self.quiet_seconds:
                    break
                self.table.draw()
                time.sleep(LOOK_SECONDS)
        finally:
            left = self._stop()
        failed = [f"{self.cells[place].title}: {why}" for place, why in self.failed.items()]
        predicted = self._predicted()
        cells = [self.cells[place] for place in left]
        return failed + [f"{cell.title}: {self._why_not(cell)}" for cell in cells if cell.is_released(predicted)]

    def _has_nothing_to_begin(self) -> bool:
        """Return whether all that is left waits for the prediction, which no process writes by itself."""
        if self.running:
            return False
        predicted = self._predicted()
        return not any(self.cells[place].is_released(predicted) for place in self.waiting)

    def _predicted(self) -> set[str]:
        return predicted_titles(read_prediction(self.output), self.metrics)

    def _start_what_can(self):
        predicted = self._predicted()
        for place in [*self.waiting]:
            if len(self.running) == self.jobs:
                return
            cell = self.cells[place]
            planned = self.planned(cell)
            if planned is None:
                continue
            if self.found.finished(planned.plan):
                self._end(place, "reused")
            elif cell.is_released(predicted):
                self._start(place, planned)

    def planned(self, cell: GridCell) -> Cell | None:
        """Return a run with its settings checked; None as long as the run that it starts from is not done."""
        weights = None
        if cell.source is not None:
            source = self.planned(cell.source)
            done = source and self.found.finished(source.plan)
            if not done:
                return None
            weights = done[1].parent / "best.pth"
        key = (cell.title, weights)
        if key not in self._planned:
            self._planned[key] = cell.planned(weights)
        return self._planned[key]

    def _start(self, place: int, planned: Cell):
        name = _claim_name(self.cells[place])
        if not self.claims.take(name):
            return
        # Again, since the process that had the claim may have finished the run.
        self.found.read(self.output / RUNS)
        is_done = self.found.finished(planned.plan) is not None
        # A process that was killed leaves its run to end by itself.
        if is_done or self.found.is_running(planned.plan):
            self.claims.free(name)
            return
        resume = self.found.unfinished(planned.plan)
        self.running[place] = RunProcess.start(planned, self.output, _threads(self.jobs), resume)
        self.waiting.remove(place)
        self.table.set(place, "running")

    def _look(self):
        """Show how the processes do, and take out those that ended."""
        for place, process in [*self.running.items()]:
            if not process.has_ended:
                self.table.set(place, "running", process.last_line("epoch"))
                continue
            self.found.read(self.output / RUNS)
            done = self.found.finished(process.cell.plan)
            self.claims.free(_claim_name(self.cells[place]))
            del self.running[place]
            if done and process.process.returncode == 0:
                self.table.set(place, "done", f"in {duration(process.seconds)}")
            else:
                self.failed[place] = f"{process.last_line() or 'no message'} (see {process.log})"
                self.table.set(place, "failed", self.failed[place])

    def _end(self, place: int, state: str):
        self.waiting.remove(place)
        self.table.set(place, state)

    def _stop(self) -> list[int]:
        """End the processes that are left, which go on next time from their last epoch; return what is not done."""
        for process in self.running.values():
            process.end()
        for place, process in self.running.items():
            process.wait()
            self.claims.free(_claim_name(self.cells[place]))
            self.table.set(place, "stopped", "to go on, give the same command again")
        for place in self.waiting:
            self.table.set(place, "stopped", self._why_not(self.cells[place]))
        self.table.draw()
        return [*self.running, *self.waiting]

    def _why_not(self, cell: GridCell) -> str:
        if not cell.is_released(self._predicted()):
            return "to be predicted first: `recbole-mpo scaling fit`"
        if cell.source is not None and self.planned(cell) is None:
            return f"not begun: {cell.source.title} is not done"
        return "not begun; give the same command again"


def _claim_name(cell: GridCell) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", cell.title).strip("._")


def _threads(jobs: int) -> int | None:
    """Return the threads of each process, so that all together have the machine's cores; None to leave them alone."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, (os.cpu_count() or 1) // jobs)
