"""What a plan has to do: its runs, their sizes, and about how long those take that are not done."""

from statistics import median

from recbole_mpo.common.progress import duration
from recbole_mpo.quick_start.expected_size import ExpectedSize, expected_size
from recbole_mpo.study.forms import as_text
from recbole_mpo.study.scaling.grid_runs import GridRuns
from recbole_mpo.study.scaling.plan import Plan

# Operations a second, until a run of the study tells the machine's own: about two cores of a CPU.
ASSUMED_RATE = 50e9
# Of a run beside its epochs: starting the program, and reading the data.
START_SECONDS = 20


def announce(plan: Plan, runs: GridRuns):
    """Print the runs of a plan with their sizes and the time that is left.

    Args:
        plan: the plan.
        runs: its runs, with the records that were found.

    Raises:
        RecboleMPOError: a run cannot be planned, or a dataset cannot be read.
    """
    sizes = [expected_size(cell.planned().plan) for cell in plan.cells]
    rate = _rate(runs)
    rows, left, to_do = [], 0.0, 0
    for cell, size in zip(plan.cells, sizes, strict=True):
        planned = runs.planned(cell)
        is_done = planned is not None and runs.found.finished(planned.plan) is not None
        seconds = START_SECONDS + size.flops / (rate or ASSUMED_RATE)
        left, to_do = left + (0 if is_done else seconds), to_do + (not is_done)
        rows.append(
            _row(cell, size, "done" if is_done else "predicted first" if cell.is_held_back else "to do", seconds)
        )
    print(as_text(rows), end="")
    by = "at the rate of the runs that are done" if rate else f"at {ASSUMED_RATE / 1e9:.0f} billion operations a second"
    print(f"{len(plan.cells)} runs, {to_do} to do: at most {duration(left)} one after another, {by}")


def _row(cell, size: ExpectedSize, state: str, seconds: float) -> dict[str, str]:
    about = "about " if size.is_assumed else ""
    return {
        "model": cell.title,
        "state": state,
        "training rows": f"{size.train_rows:,}",
        "without tables": f"{about}{size.non_embedding:,}",
        "are trained": f"{about}{size.trainable:,}",
        "operations at most": f"{size.flops:.1e}",
        "time at most": duration(seconds),
    }


def _rate(runs: GridRuns) -> float | None:
    """Return the operations a second of completed runs, the median; None without any."""
    rates = [
        record["scale"]["flops"] / (record["seconds"]["per_epoch"] * record["epochs_run"])
        for record in runs.found.completed
        if (record.get("scale") or {}).get("flops") and record["seconds"].get("per_epoch")
    ]
    return median(rates) if rates else None
