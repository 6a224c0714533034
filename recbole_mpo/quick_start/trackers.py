"""Reports a run to programs that people watch runs with, beside the record: MLflow and Weights & Biases.

TensorBoard's files are RecBole's own; the setting ``track`` only says whether there are any.
"""

import logging
import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from recbole_mpo.common.errors import ConfigError, DependencyError

logger = logging.getLogger(__name__)

TENSORBOARD = "tensorboard"
# Name of the experiment in MLflow and of the project in Weights & Biases, unless their own variables name one.
PROJECT = "recbole_mpo"
# MLflow takes no other characters in names.
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


class Tracker(Protocol):
    """A program that is told of one run."""

    def log(self, values: dict[str, float], step: int | None):
        """Report numbers of an epoch, or of the whole run."""

    def finish(self, status: str):
        """Report that the run ended, as ``completed`` or otherwise."""


class _MLflow:
    """MLflow, at MLFLOW_TRACKING_URI or, without it, where MLflow keeps runs below the current folder."""

    def __init__(self, run_dir: Path, record: dict):
        import mlflow

        self._client = client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        # A run that is resumed goes on in the run that MLflow has of it.
        found = client.search_runs([experiment], f"tags.run_id = '{run_dir.name}'", max_results=1)
        if found:
            self._run = found[0].info.run_id
            return
        tags = {"run_id": run_dir.name, "model": record["model"], "dataset": record["dataset"]}
        self._run = client.create_run(experiment, tags=tags, run_name=record["label"]).info.run_id
        for key, value in record["config"].items():
            client.log_param(self._run, key, value)

    def log(self, values: dict[str, float], step: int | None):
        for name, value in values.items():
            self._client.log_metric(self._run, _NOT_IN_NAMES.sub("_at_", name), value, step=step or 0)

    def finish(self, status: str):
        self._client.set_terminated(self._run, "FINISHED" if status == "completed" else "FAILED")


class _WandB:
    """Weights & Biases; without a key its files are kept in the run's folder, for ``wandb sync``."""

    def __init__(self, run_dir: Path, record: dict):
        import wandb

        is_offline = "WANDB_MODE" not in os.environ and not wandb.api.api_key
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run_dir.name,
            name=f"{record['label']} {record['dataset']} {record['seed']}",
            config=record["config"],
            dir=str(run_dir),
            resume="allow",
            mode="offline" if is_offline else None,
        )

    def log(self, values: dict[str, float], step: int | None):
        if step is None:
            self._run.summary.update(values)
        else:
            self._run.log(values, step=step)

    def finish(self, status: str):
        self._run.finish(exit_code=0 if status == "completed" else 1)


TRACKERS = {"mlflow": _MLflow, "wandb": _WandB}


class Trackers:
    """Tells each tracker of each epoch once. One that fails is left out, with a warning: the record has it all.

    Args:
        trackers: the trackers by name; those that fail are taken out.
    """

    def __init__(self, trackers: dict[str, Tracker]):
        self._trackers = trackers
        self._told = 0

    def go_on_after(self, history: list[dict]):
        """Leave out epochs that were reported before the run was resumed."""
        self._told = len(history)

    def follow(self, history: list[dict]):
        """Report the epochs that were not reported yet."""
        for epoch in history[self._told :]:
            numbers = {key: epoch[key] for key in ("train_loss", "train_seconds", "valid_seconds") if key in epoch}
            numbers |= {f"valid/{name}": value for name, value in epoch.get("valid", {}).items()}
            self._tell(lambda tracker, told=numbers, step=epoch["epoch"]: tracker.log(told, step))
        self._told = len(history)

    def finish(self, record: dict, status: str):
        """Report the epochs that are left, the test metrics, and that the run ended."""
        self.follow(record.get("history", []))
        if record["test"]:
            figures = record["test"] | (record.get("recommended") or {})
            self._tell(lambda tracker: tracker.log({f"test/{name}": value for name, value in figures.items()}, None))
        self._tell(lambda tracker: tracker.finish(status))

    def _tell(self, report: Callable[[Tracker], None]):
        for name, tracker in [*self._trackers.items()]:
            # Whatever their server or disk does must not end a training of hours.
            try:
                report(tracker)
            except Exception as problem:
                logger.warning("%s is not told any more: %s: %s", name, type(problem).__name__, problem)
                del self._trackers[name]


@contextmanager
def tracking(names: list[str], run_dir: Path, record: dict):
    """Give the trackers that a run's setting ``track`` names, and tell them how the block ends.

    Args:
        names: names of trackers; TensorBoard is left to RecBole.
        run_dir: the run's folder, whose name is the run's in each tracker.
        record: the record as it is so far; the block completes it.

    Raises:
        DependencyError: the package of a tracker is missing.
        ConfigError: a tracker cannot begin.
    """
    status, begun = "failed", {}
    trackers = Trackers(begun)
    try:
        for name in names:
            if name != TENSORBOARD:
                begun[name] = _begun(name, run_dir, record)
        yield trackers
        status = "completed"
    finally:
        trackers.finish(record, status)


def _begun(name: str, run_dir: Path, record: dict) -> Tracker:
    if find_spec(name) is None:
        raise DependencyError(f"track={name} needs the package {name}: pip install 'recbole-mpo[track]'")
    try:
        return TRACKERS[name](run_dir, record)
    except Exception as problem:
        raise ConfigError(f"track={name} cannot begin: {type(problem).__name__}: {problem}") from problem
