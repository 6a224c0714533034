"""The part of a report that says how its runs were tuned: every value and every trial."""

import json
import math
from collections.abc import Sequence
from importlib.metadata import version

from recbole_mpo.common.terminal import one_line
from recbole_mpo.study.forms import as_markdown
from recbole_mpo.study.matrix import Cell
from recbole_mpo.study.report_parts import Section
from recbole_mpo.study.row_search import Outcomes, RowSearch, valid_metric
from recbole_mpo.study.trials import OPENING


def tuning_sections(searches: Sequence[RowSearch], outcomes: Outcomes) -> list[Section]:
    """Return a section with the space and all trials of each tuned row; none if there is no such row.

    Args:
        searches: the tuning of each row on one dataset.
        outcomes: what is known of runs.
    """
    if not searches:
        return []
    rows = [_row_text(search, outcomes) for search in searches]
    return [Section("Tuning", "\n\n".join([_introduction(searches[0]), *rows]))]


def _introduction(search: RowSearch) -> str:
    drawn = f"optuna {version('optuna')} draws them with the seed {search.seed}"
    if search.wanted > OPENING:
        drawn += f", the first {OPENING} at random and each later one near the best before it"
    return (
        f"Each row below has {search.wanted} trials on its first seed, or fewer if its values give fewer; {drawn}. "
        "The trial that is best on valid is chosen, the first of equal ones; test has no say. Its settings are those "
        "of the row's other seeds, and its run is that of the first seed."
    )


def _row_text(search: RowSearch, outcomes: Outcomes) -> str:
    trials = search.trials(outcomes)
    chosen = search.chosen(trials, outcomes)
    lines = "\n".join(f"- `{key}`: {', '.join(map(_shown, tried))}" for key, tried in search.space.items())
    table = as_markdown([_table_row(search, trial, chosen, outcomes) for trial in trials], ("status",))
    title = one_line(search.row.name).replace("<", "&lt;")
    count = f"{search.count} trial{'s' if search.count > 1 else ''}"
    text = f"### {title}\n\nSeed {search.base.seed}, {count}. Values tried:\n\n{lines}\n\n{table}"
    return text if chosen else f"{text}\nNothing is chosen: {_why_not(search, trials, outcomes)}."


def _why_not(search: RowSearch, trials: list[Cell], outcomes: Outcomes) -> str:
    done = sum(outcomes(trial) is not None for trial in trials)
    return "all trials failed" if done == search.count else f"{done} of {search.count} trials are done"


def _table_row(search: RowSearch, trial: Cell, chosen: Cell | None, outcomes: Outcomes) -> dict[str, str]:
    """Return the cells of a trial: what it tried and what came out on valid."""
    value, metric = outcomes(trial), valid_metric(trial)
    record = (outcomes.found.finished(trial.plan) or outcomes.found.failed(trial.plan) or ({}, None))[0]
    tried, seconds = search.tried(trial), record.get("seconds", {}).get("total")
    epochs, is_cut = record.get("epochs_run"), record.get("hit_epoch_limit")
    return {
        "trial": str(trial.trial),
        **{key: _shown(tried[key]) if key in tried else "not read" for key in search.space},
        f"valid {metric}": "" if value is None or math.isnan(value) else f"{value:.4f}",
        "epochs": "" if epochs is None else f"{epochs} (the limit)" if is_cut else str(epochs),
        "seconds": "" if seconds is None else f"{seconds:.0f}",
        "status": _status(record, value, chosen is not None and trial.trial == chosen.trial),
    }


def _status(record: dict, value: float | None, is_chosen: bool) -> str:
    if is_chosen:
        return "chosen"
    status = record.get("status") or ("not done" if value is None else "failed")
    reason = one_line(str(record.get("error") or ""))
    return f"{status}: {reason}" if reason else status


def _shown(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
