"""The records of a study's runs, and the points that laws are fitted to; no dataset is needed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import file_hash
from recbole_mpo.quick_start.planned_run import APART, WITHOUT_EFFECT
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study.scaling.cells import GridCell, settings_defaults
from recbole_mpo.study.scaling.fitting import Points

# Names of predictors: parameters without tables of items, training rows, operations, width and depth.
SIZE, DATA, COMPUTE, WIDTH, DEPTH = "N", "D", "C", "width", "depth"


@dataclass(frozen=True)
class Outcome:
    """A run that is done.

    Attributes:
        cell: the run in the plan.
        record: its record.
        path: the record's file.
    """

    cell: GridCell
    record: dict
    path: Path

    @property
    def predictors(self) -> dict[str, float]:
        """Return the run's sizes by predictor; the operations are those up to the epoch that was chosen.

        Raises:
            RecordError: the record does not hold them.
        """
        scale, epochs = self.record.get("scale") or {}, self.record.get("epochs_run")
        best = self.record.get("best_epoch")
        if not scale.get("flops") or not epochs or best is None:
            raise RecordError(f"record {self.path} does not hold the operations of its run: set count_flops=true")
        return {
            SIZE: float(scale["non_embedding"]),
            DATA: float(scale["train_rows"]),
            COMPUTE: scale["flops"] * (best + 1) / epochs,
            WIDTH: float(self.cell.value("hidden_size")),
            DEPTH: float(self.cell.value("n_layers")),
        }

    def value(self, metric: str, split: str = "test") -> float:
        """Return a figure of the record.

        Raises:
            RecordError: the record does not hold it.
        """
        try:
            return self.record[split][metric]
        except KeyError as problem:
            hint = ": set eval_loss=true" if metric == "loss" else f", but {', '.join(self.record[split])}"
            raise RecordError(f"record {self.path} has no {split} {metric}{hint}") from problem

    @property
    def hash(self) -> str:
        """Return the sha256 of the record's file."""
        return file_hash(self.path)


def find_outcomes(cells: Iterable[GridCell], folder: str | Path) -> tuple[list[Outcome], list[str]]:
    """Return the runs of a plan that are done, in its order, and what was wrong with records that are left out.

    A record belongs to a run if its label, model, dataset, seed and settings are those of the run; of several the
    newest does.

    Args:
        cells: the runs.
        folder: the folder of the run folders.
    """
    records, problems = {}, []
    for path in sorted(Path(folder).rglob("record.json")):
        try:
            record = read_record(path)
        except RecordError as problem:
            problems.append(str(problem))
            continue
        if record["status"] == "completed":
            records.setdefault((record["label"], record["dataset"], record["seed"]), []).append((record, path))
    outcomes = []
    for cell in cells:
        own = records.get((cell.row.name, cell.dataset, cell.seed), [])
        sound = []
        for record, path in own:
            fault = _fault(cell, record)
            if fault:
                problems.append(f"record {path} has {fault}; it is left out")
            else:
                sound.append((record, path))
        if sound:
            outcomes.append(Outcome(cell, *max(sound, key=lambda one: one[0].get("started") or "")))
    return outcomes, problems


def _fault(cell: GridCell, record: dict) -> str | None:
    """Return by which setting a record is not one of a run; None if it is."""
    if record["model"] != cell.row.model:
        return f"the model {record['model']}, the plan {cell.row.model}"
    defaults = settings_defaults(cell.row.model)
    for key, wanted in cell.row.settings.items():
        if key in WITHOUT_EFFECT or key in APART:
            continue
        found = record["config"].get(key, defaults.get(key))
        if _plain(found) != _plain(wanted):
            return f"{key}={found}, the plan {wanted}: give the same settings as to `scaling run`"
    return None


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def points_of(outcomes: Sequence[Outcome], metric: str) -> Points:
    """Return the points of runs for one figure of their test users.

    Raises:
        RecordError: a record does not hold what is needed; the message names it.
    """
    sizes = [outcome.predictors for outcome in outcomes]
    values = np.array([outcome.value(metric) for outcome in outcomes])
    predictors = {name: np.array([size[name] for size in sizes]) for name in (SIZE, DATA, COMPUTE, WIDTH, DEPTH)}
    return Points(predictors, values, cells_of(outcomes))


def cells_of(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Return the number of the cell of each run [n]; runs that differ in their seed alone have the same one."""
    return np.unique([outcome.cell.row.name for outcome in outcomes], return_inverse=True)[1]
