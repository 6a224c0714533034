"""Predictions of the runs that a plan holds back: written once, before there is any outcome."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import write_json
from recbole_mpo.study.scaling.cells import GridCell
from recbole_mpo.study.scaling.fitting import SEED, Fit, Points, fit
from recbole_mpo.study.scaling.grid_runs import PREDICTION
from recbole_mpo.study.scaling.metric_fits import laws_of
from recbole_mpo.study.scaling.outcomes import DATA, SIZE, Outcome, points_of
from recbole_mpo.study.scaling.uncertainty import bootstrap, interval

# The law, and the straight lines that it must beat.
PREDICTING = ("F1", "F4")


def predict(
    folder: Path, metrics: Sequence[str], known: Sequence[Outcome], held_back: Sequence[GridCell], has_outcomes: bool
) -> str:
    """Write ``prediction.json`` from the runs that are done; return a line that says what was done.

    A prediction is written again only as long as none of what it predicts has been run.

    Args:
        folder: the study's folder.
        metrics: names of the metrics.
        known: the done runs of the main grid, without those held back.
        held_back: the runs to predict.
        has_outcomes: whether one of them has been run.

    Raises:
        RecordError: a record does not hold what is needed.
    """
    path = Path(folder) / PREDICTION
    if has_outcomes:
        if path.is_file():
            return f"{path} stays as it was written before its outcomes"
        return f"no prediction is written: {held_back[0].title} has been run already, or another that is held back"
    places = [_place(cell, known) for cell in held_back]
    content = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "records": {outcome.cell.title: outcome.hash for outcome in known},
        "records_hash": records_hash(known),
        "metrics": {metric: _predicted(metric, known, held_back, places) for metric in metrics},
    }
    write_json(path, content)
    return f"{path}: {len(held_back)} runs are predicted from {len(known)}"


def records_hash(outcomes: Sequence[Outcome]) -> str:
    """Return one hash of the records of runs, in any order."""
    return hashlib.sha256("\n".join(sorted(outcome.hash for outcome in outcomes)).encode()).hexdigest()


def read_prediction(folder: str | Path) -> dict | None:
    """Return the prediction in a study's folder; None without one.

    Raises:
        RecordError: the file is damaged.
    """
    path = Path(folder) / PREDICTION
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _ = content["metrics"], content["records_hash"], content["made"]
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise RecordError(f"{path} is damaged: {type(problem).__name__}: {problem}") from problem
    return content


def _place(cell: GridCell, known: Sequence[Outcome]) -> dict[str, float]:
    """Return size and data of a run that is not done, from runs of the same width and depth, and of the same users.

    Raises:
        RecordError: there are none.
    """
    alike = {SIZE: ("hidden_size", "n_layers"), DATA: ("train_users",)}
    found = {}
    for predictor, keys in alike.items():
        same = [one for one in known if all(one.cell.value(key) == cell.value(key) for key in keys)]
        if not same:
            raise RecordError(f"{cell.title} cannot be predicted: no run has the same {' and '.join(keys)}")
        found[predictor] = same[0].predictors[predictor]
    return found


def _predicted(metric: str, known: Sequence[Outcome], cells: Sequence[GridCell], places: list[dict]) -> dict:
    runs = points_of(known, metric)
    points = runs.of_cells()
    nothing = np.zeros(len(places))
    there = Points({name: np.array([place[name] for place in places]) for name in (SIZE, DATA)}, nothing, nothing)
    laws = {name: law for name, law in laws_of(metric != "loss").items() if name in PREDICTING}
    by_law = {name: _with_intervals(fit(law, points), points, runs, there) for name, law in laws.items()}
    return {cell.title: {name: by_law[name][number] for name in by_law} for number, cell in enumerate(cells)}


def _with_intervals(fitted: Fit, points: Points, runs: Points, there: Points) -> list[dict[str, float]]:
    """Return what a law gives at new points, and where it expects 95 % of single runs."""
    draws_BP, _ = bootstrap(fitted, points)
    residuals = runs.values_n - fitted.at(runs)
    wider = np.sqrt(len(points) / max(1, len(points) - len(fitted.law.names)))
    noise = wider * np.random.default_rng(SEED + 1).choice(residuals, (len(draws_BP), len(there)))
    drawn = fitted.at(there, draws_BP) + noise
    values = zip(fitted.at(there).tolist(), drawn.T, strict=True)
    return [dict(zip(("value", "low", "high"), (value, *interval(one)), strict=True)) for value, one in values]
