"""The records of a study's runs, and the points that laws are fitted to; no dataset is needed."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study.scaling.cells import GridCell
from recbole_mpo.study.scaling.fitting import Points
from recbole_mpo.study.scaling.record_faults import check_same_data, fault_of

# Names of predictors: parameters without tables of items, training rows, operations, width and depth.
SIZE, DATA, COMPUTE, WIDTH, DEPTH = "N", "D", "C", "width", "depth"
# What a record's hash is of: all that laws and predictions are made of, and nothing that names a machine.
HASHED = ("model", "label", "dataset", "seed", "started", "data", "scale", "best_epoch", "epochs_run")
HASHED += ("hit_epoch_limit", "valid", "test")


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
        """Return the sha256 of the record's figures, which making its paths neutral for others does not change."""
        figures = {key: self.record.get(key) for key in HASHED}
        return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def find_outcomes(cells: Iterable[GridCell], folder: str | Path) -> tuple[list[Outcome], list[str]]:
    """Return the runs of a plan that are done, in its order, and what was wrong with records that are left out.

    A record belongs to a run if its label, model, dataset, seed and all settings are those of the run, and if it began
    with the weights of the record that its source has; of several the newest does.

    Args:
        cells: the runs, each after the one that it starts from.
        folder: the folder of the run folders.

    Raises:
        RecordError: records of one dataset have different data.
    """
    records, problems = _read(folder)
    outcomes: dict[str, Outcome] = {}
    for cell in cells:
        source = outcomes.get(cell.source.title) if cell.source else None
        sound = []
        for record, path in records.get((cell.row.name, cell.dataset, cell.seed), []):
            if record["status"] != "completed":
                continue
            fault = fault_of(cell, record, source.record if source else None)
            if fault:
                problems.append(f"record {path} has {fault}; it is left out")
            else:
                sound.append((record, path))
        if sound:
            outcomes[cell.title] = Outcome(cell, *max(sound, key=lambda one: one[0].get("started") or ""))
    check_same_data((one.record, one.path) for one in outcomes.values())
    return list(outcomes.values()), problems


def begun_runs(cells: Iterable[GridCell], folder: str | Path) -> set[str]:
    """Return the titles of runs that have a record of any status, and with any settings."""
    records, _ = _read(folder)
    return {cell.title for cell in cells if (cell.row.name, cell.dataset, cell.seed) in records}


def _read(folder: str | Path) -> tuple[dict[tuple, list[tuple[dict, Path]]], list[str]]:
    """Return records with their files by label, dataset and seed, and what was wrong with other files."""
    records, problems = {}, []
    for path in sorted(Path(folder).rglob("record.json")):
        try:
            record = read_record(path)
        except RecordError as problem:
            problems.append(str(problem))
            continue
        records.setdefault((record["label"], record["dataset"], record["seed"]), []).append((record, path))
    return records, problems


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
