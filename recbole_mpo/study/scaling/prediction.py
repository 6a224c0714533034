"""Predictions of the runs that a plan holds back, each written before there is any outcome."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import write_json
from recbole_mpo.study.scaling.cells import GridCell
from recbole_mpo.study.scaling.fitting import SEED, Fit, Points, fit
from recbole_mpo.study.scaling.metric_fits import laws_of
from recbole_mpo.study.scaling.outcomes import DATA, SIZE, Outcome, points_of
from recbole_mpo.study.scaling.predicted_runs import (
    FIGURES,
    HASH_KEY,
    PREDICTION,
    each_prediction,
    predicted_titles,
    read_prediction,
)
from recbole_mpo.study.scaling.uncertainty import bootstrap, interval

# The law, and the straight lines that it must beat.
PREDICTING = ("F1", "F4")
# Settings that decide the size of a run, and those that decide its data; all others must agree.
DECIDING = {SIZE: ("hidden_size", "inner_size", "n_layers"), DATA: ("train_users",)}


def predict(
    folder: Path, metrics: Sequence[str], known: Sequence[Outcome], held_back: Sequence[GridCell], begun: set[str]
) -> str:
    """Write ``prediction.json`` from the runs that are done; return a line that says what was done.

    As long as none of the runs that it predicts has a record, the prediction is written again. From then on it stays,
    and only what has no prediction and no record yet is added.

    Args:
        folder: the study's folder.
        metrics: names of the metrics.
        known: the done runs of the main grid, without those held back.
        held_back: the runs to predict.
        begun: titles of runs that have a record of any status.

    Raises:
        RecordError: a record does not hold what is needed.
    """
    path, before = Path(folder) / PREDICTION, read_prediction(folder)
    earlier = predicted_titles(before, metrics)
    kept = before if before and begun & _all_titles(before) else None
    wanted = [cell for cell in held_back if cell.title not in begun and not (kept and cell.title in earlier)]
    late = [cell.title for cell in held_back if cell.title in begun - earlier]
    unpredicted = f"; not predicted, since it was begun before: {'; '.join(late)}" if late else ""
    if not wanted:
        stays = "stays as it was written before its outcomes" if before else "is not written"
        return f"{path} {stays}{unpredicted}"
    made = _made(metrics, known, wanted)
    write_json(path, {**kept, "added": [*kept.get("added", []), made]} if kept else made)
    added = ", added to the earlier ones" if kept else ""
    return f"{path}: {len(wanted)} runs are predicted from {len(known)}{added}{unpredicted}"


def _all_titles(content: dict) -> set[str]:
    """Return the titles of the runs that are predicted for any metric."""
    return {title for one in each_prediction(content) for by_run in one["metrics"].values() for title in by_run}


def _made(metrics: Sequence[str], known: Sequence[Outcome], cells: Sequence[GridCell]) -> dict:
    places = [_place(cell, known) for cell in cells]
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        HASH_KEY: FIGURES,
        "records": {outcome.cell.title: outcome.hash for outcome in known},
        "records_hash": records_hash(known),
        "metrics": {metric: _predicted(metric, known, cells, places) for metric in metrics},
    }


def records_hash(outcomes: Sequence[Outcome]) -> str:
    """Return one hash of the records of runs, in any order."""
    return hashlib.sha256("\n".join(sorted(outcome.hash for outcome in outcomes)).encode()).hexdigest()


def _place(cell: GridCell, known: Sequence[Outcome]) -> dict[str, float]:
    """Return size and data of a run that is not done, from runs with the same settings but those of the other.

    Raises:
        RecordError: there are none.
    """
    found = {}
    for predictor, other in ((SIZE, DATA), (DATA, SIZE)):
        own = _without(cell, DECIDING[other])
        same = [one for one in known if _without(one.cell, DECIDING[other]) == own]
        if not same:
            keys = " and ".join(DECIDING[predictor])
            raise RecordError(f"{cell.title} cannot be predicted: no run has the same {keys} and other settings")
        # Other seeds may draw other users.
        found[predictor] = min(same, key=lambda one: one.cell.seed != cell.seed).predictors[predictor]
    return found


def _without(cell: GridCell, keys: Sequence[str]) -> dict:
    return {key: value for key, value in cell.complete.items() if key not in keys}


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
