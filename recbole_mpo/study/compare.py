"""Runs an experiment file: every model on every seed, each run once, and a report of all."""

import os
import time
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from recbole_mpo.common.errors import ConfigError, RecboleMPOError
from recbole_mpo.common.progress import duration
from recbole_mpo.quick_start.run_folder import is_held
from recbole_mpo.study.agenda import Agenda
from recbole_mpo.study.found_runs import FoundRuns
from recbole_mpo.study.matrix import read_rows
from recbole_mpo.study.progress_table import Line, ProgressTable
from recbole_mpo.study.report import Section
from recbole_mpo.study.report_source import ReportSource
from recbole_mpo.study.row_search import Outcomes, valid_metric
from recbole_mpo.study.run_groups import RunGroup
from recbole_mpo.study.run_process import RUNS, RunProcess
from recbole_mpo.study.tuning import read_tuning
from recbole_mpo.study.tuning_report import tuning_sections

# How often the processes are looked at.
LOOK_SECONDS = 0.5
# How long to wait for what a killed comparison left running; these processes end by themselves.
LEFT_SECONDS = 120


@dataclass(frozen=True)
class Comparison:
    """What to compare, and how.

    Attributes:
        title: title of the report.
        rows: the content of the experiment file: ``runs``, ``tune``, and settings of all runs.
        datasets: names of the datasets.
        seeds: seeds of the rows that do not name their own.
        reference: name of the row that the others are compared with; the first by default.
        output: folder of the runs and the report.
        reuse: folders with records of runs that need not be done again.
        jobs: how many runs there are at a time.
        max_hours: time after which no run goes on; unfinished ones are continued next time.
    """

    title: str
    rows: dict
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    output: Path
    reference: str | None = None
    reuse: tuple[Path, ...] = ()
    jobs: int = 1
    max_hours: float | None = None


def compare(comparison: Comparison, overrides: dict | None = None, dry_run: bool = False) -> list[str]:
    """Do the runs that are missing, and write a report of each dataset; return the titles of runs that failed.

    Runs that are done, here or in the folders to reuse, are recognised by what decides their figures. A run that was
    interrupted goes on from its last epoch. A failed run is tried again, and does not end the comparison. Rows that are
    tuned have trials first, on their first seed; the other seeds use what is best on valid.

    Args:
        comparison: what to compare.
        overrides: settings that win over those of the experiment file.
        dry_run: whether to say only which runs there are, and how long they may take.

    Raises:
        ConfigError: the runs are not well described; or another comparison works in the folder.
        RecboleMPOError: a run cannot be planned; the message names it.
    """
    rows = read_rows(comparison.rows, comparison.seeds, overrides or {})
    names = [row.name for row in rows]
    reference = comparison.reference or names[0]
    if reference not in names:
        raise ConfigError(f"reference {reference!r} is not one of the runs: {', '.join(names)}")
    repeated = [name for name in comparison.datasets if comparison.datasets.count(name) > 1]
    if repeated:
        raise ConfigError(f"dataset names {repeated[0]} twice")
    tuning = read_tuning(comparison.rows, overrides or {}, rows)
    agenda = Agenda.of(rows, comparison.datasets, tuning, prepares=not dry_run)
    found = FoundRuns.under([*comparison.reuse, comparison.output / RUNS])
    for problem in found.unread:
        print(f"Not looked at: {problem}")
    outcomes = Outcomes(found)
    if dry_run:
        _announce(agenda, outcomes)
        return []
    with _alone_in(comparison.output):
        # Again, because runs of an earlier comparison may have ended since.
        found.read(comparison.output / RUNS)
        _finish_runs(agenda, outcomes, comparison)
    for name in comparison.datasets:
        here = comparison.output if len(comparison.datasets) == 1 else comparison.output / name
        _report(agenda, name, outcomes, reference, here, comparison.title)
    missing = [cell for cell in agenda.cells(outcomes) if cell and not found.finished(cell.plan)]
    return [cell.title for cell in missing if cell.key in outcomes.failed or found.failed(cell.plan)]


def _announce(agenda: Agenda, outcomes: Outcomes):
    """Print which runs would be done, and how long they may take."""
    total, unknown, trials = 0.0, 0, 0
    for slot, cell in zip(agenda.slots, agenda.cells(outcomes), strict=True):
        done = outcomes.found.finished(cell.plan) if cell else None
        # Without its settings yet, a run takes about as long as with those of its row.
        seconds = outcomes.found.expected_seconds((cell or slot).plan)
        if done:
            print(f"reused   {slot.title}   {done[1]}")
            continue
        total, unknown, trials = total + (seconds or 0), unknown + (seconds is None), trials + (slot.trial is not None)
        print(f"to do    {slot.title}   {'time not known' if seconds is None else f'at most {duration(seconds)}'}")
    all_trials = sum(slot.trial is not None for slot in agenda.slots)
    tuning = f", {all_trials} of them trials of tuning, of which {trials} are to be done" if all_trials else ""
    rest = f", and {unknown} runs of which no record tells the time" if unknown else ""
    print(f"{len(agenda.slots)} runs{tuning}; those to do take at most {duration(total)} one after another{rest}")


@contextmanager
def _alone_in(folder: Path):
    """Hold a comparison's folder while the block lasts, once all processes of an earlier comparison have ended."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "compare.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as problem:
        raise ConfigError(f"another comparison works in {folder}; wait for it, or give another output") from problem
    try:
        _wait_for_left_over(folder / RUNS)
        yield
    finally:
        lock.release()


def _wait_for_left_over(runs: Path):
    limit, said = time.monotonic() + LEFT_SECONDS, False
    while held := [path for path in runs.glob("*") if path.is_dir() and is_held(path)]:
        if time.monotonic() > limit:
            raise ConfigError(f"a run is still training in {held[0]}; wait for it, or end its process")
        if not said:
            print(f"waiting for the run of an earlier comparison in {held[0]} to end")
            said = True
        time.sleep(LOOK_SECONDS)


def _finish_runs(agenda: Agenda, outcomes: Outcomes, comparison: Comparison):
    """Do the runs that are missing, several at a time, until all are done or the time is over."""
    deadline = None if comparison.max_hours is None else time.monotonic() + 3600 * comparison.max_hours
    cells = agenda.cells(outcomes)
    reused = [cell is not None and outcomes.found.finished(cell.plan) is not None for cell in cells]
    states = ["reused" if is_reused else "waiting" for is_reused in reused]
    table = ProgressTable([Line(slot.title, state) for slot, state in zip(agenda.slots, states, strict=True)])
    waiting = [place for place, is_reused in enumerate(reused) if not is_reused]
    running: dict[int, RunProcess] = {}
    threads = _threads(comparison.jobs)
    try:
        while waiting or running:
            if deadline is not None and time.monotonic() > deadline:
                break
            for place in _next_places(waiting, cells, running, comparison.jobs, outcomes, table):
                resume = outcomes.found.unfinished(cells[place].plan)
                running[place] = RunProcess.start(cells[place], comparison.output, threads, resume)
                table.set(place, "running")
            # What is left depends on trials that all failed.
            if not running:
                break
            time.sleep(LOOK_SECONDS)
            if _look_at(running, outcomes, comparison.output, table):
                cells = agenda.cells(outcomes)
            table.draw()
    finally:
        _stop(running, waiting, table)


def _next_places(waiting: list[int], cells, running: dict, jobs: int, outcomes: Outcomes, table) -> list[int]:
    """Take the places of the runs to start now from those that wait; and those of runs that were done meanwhile."""
    begun = {process.cell.key for process in running.values()}
    taken = []
    for place in [*waiting]:
        cell = cells[place]
        if len(begun) == jobs:
            break
        # Two rows may try the same settings, of which one run is enough.
        if cell is None or cell.key in begun:
            continue
        waiting.remove(place)
        if outcomes.found.finished(cell.plan):
            table.set(place, "reused")
            continue
        begun.add(cell.key)
        taken.append(place)
    return taken


def _look_at(running: dict[int, RunProcess], outcomes: Outcomes, folder: Path, table: ProgressTable) -> bool:
    """Show how the processes do, and take out those that ended; return whether one did."""
    ended = {place for place, process in running.items() if process.has_ended}
    for place, process in [*running.items()]:
        if place in ended:
            del running[place]
            state, says = _outcome(process, outcomes.found, folder)
            table.set(place, state, says)
            if state == "failed":
                outcomes.failed[process.cell.key] = says
        else:
            table.set(place, "running", process.last_line("epoch"))
    return bool(ended)


def _threads(jobs: int) -> int | None:
    """Return the threads of each process, so that all together have the machine's cores; None to leave them alone."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, (os.cpu_count() or 1) // jobs)


def _outcome(process: RunProcess, found: FoundRuns, folder: Path) -> tuple[str, str]:
    found.read(folder / RUNS)
    done = found.finished(process.cell.plan)
    if done and process.process.returncode == 0:
        # Nobody looks at the test figures of what is still to be chosen.
        part, metric = "test" if process.cell.trial is None else "valid", valid_metric(process.cell)
        return "done", f"{part} {metric} {done[0][part].get(metric, float('nan')):.4f} in {duration(process.seconds)}"
    return "failed", f"{process.last_line() or 'no message'} (see {process.log})"


def _stop(running: dict[int, RunProcess], waiting: Iterable[int], table: ProgressTable):
    """End the processes that are left; their runs go on from their last epoch next time."""
    for process in running.values():
        process.end()
    for place, process in running.items():
        process.wait()
        table.set(place, "stopped", "to go on, give the same command again")
    for place in waiting:
        table.set(place, "stopped", "not begun; give the same command again")
    table.draw()


def _report(agenda: Agenda, dataset: str, outcomes: Outcomes, reference: str, folder: Path, title: str):
    """Write the report of one dataset, as far as its runs are done."""
    found, groups, missing = outcomes.found, [], []
    for name in agenda.rows:
        runs = []
        for run_title, cell in agenda.runs(name, dataset, outcomes):
            done = (found.finished(cell.plan) or found.failed(cell.plan)) if cell else None
            runs += [done] if done else []
            why = outcomes.failed.get(cell.key) if cell else None
            missing += [] if done else [f"{run_title}: failed: {why}" if why else run_title]
        groups.append(RunGroup(name, tuple(sorted(runs, key=lambda run: run[0]["seed"]))))
    if not groups[agenda.rows.index(reference)].completed:
        print(f"no report yet: {reference}, with which the others are compared, is not done")
        return
    sections = tuning_sections([search for search in agenda.searches if search.base.dataset == dataset], outcomes)
    sections += [Section("Not run", "\n".join(f"- {run}" for run in missing))] if missing else []
    source = ReportSource.of(groups, folder, title, reference, sections)
    try:
        # First, so that it is never that of a former report.
        source.write(folder)
        files = source.write_report(folder)
    except RecboleMPOError as problem:
        raise type(problem)(f"the runs are done, but there is no report: {problem}") from problem
    print("report: " + ", ".join(str(file) for file in files if file.parent == folder))
