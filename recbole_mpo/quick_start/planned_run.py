"""A run that has not started: its checked settings, and by what a record of the same run is recognised."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.common.files import file_hash
from recbole_mpo.common.former_defaults import with_former_defaults
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.schema import defaults_of, for_model
from recbole_mpo.common.values import as_list, read_yaml
from recbole_mpo.data.prepare.prepare import prepare_if_absent
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.resume import FREE_ON_RESUME

# Settings that say where files are, how a run is shown, or how it is computed; its figures do not depend on them.
WITHOUT_EFFECT = (FREE_ON_RESUME - {"epochs"}) | {
    "dataloaders_save_path",
    "dataset_save_path",
    "eval_batch_size",
    "gpu_id",
    "item_chunk",
    "log_wandb",
    "loss_decimal_place",
    "metric_decimal_place",
    "save_dataloaders",
    "save_dataset",
    "track",
    "use_gpu",
    "wandb_project",
    "worker",
}
# Settings of older versions that did nothing without `memory`, which records no longer have.
RETIRED = {"memory_factor", "memory_lr_multiplier"}
# What is compared by other means: the seed apart, files by their content.
APART = {"seed", "pretrained", "feature_file"}


class Identity(NamedTuple):
    """What decides the figures of a run, its seed apart.

    Attributes:
        settings: hash of the model, its settings, and the weights that it starts from.
        files: hash of its data; None for a run that failed before they were read.
    """

    settings: str
    files: str | None


@dataclass(frozen=True)
class PlannedRun:
    """A run that has not started.

    Attributes:
        experiment: its checked settings.
    """

    experiment: Experiment

    @classmethod
    def of(cls, model: str, dataset: str, settings: dict, prepares: bool = False) -> "PlannedRun":
        """Return a run with checked settings.

        Args:
            model: name of the model in any capitalisation.
            dataset: name of the dataset.
            settings: the settings that are not defaults.
            prepares: whether to prepare a known dataset that is missing.

        Raises:
            ConfigError: the model is unknown, or settings are wrong or do not fit together.
            DataError: the dataset is missing.
        """
        spec, config = make_config(model, dataset, (), settings)
        if prepares:
            for name in as_list(config["domains"]) or [dataset]:
                prepare_if_absent(name, config.data_root, bool(config["show_progress"]))
        return cls(Experiment.with_config(spec, config))

    @property
    def model(self) -> str:
        """Return the canonical name of the model."""
        return self.experiment.spec.name

    @property
    def dataset(self) -> str:
        """Return the name of the dataset."""
        return self.experiment.config["dataset"]

    @property
    def seed(self) -> int:
        """Return the seed."""
        return self.experiment.config["seed"]

    @property
    def epochs(self) -> int:
        """Return the largest number of epochs."""
        return self.experiment.config["epochs"]

    @cached_property
    def identity(self) -> Identity:
        """What decides the figures of the run, its seed apart.

        Raises:
            CheckpointError: the file of pre-trained weights is missing.
        """
        path = self.experiment.config["pretrained"]
        return _identity(
            self.model,
            self.experiment.config.plain(),
            self.experiment.file_hashes(),
            pretrained_hash(path) if path else None,
        )


def identity_of_record(record: dict) -> Identity | None:
    """Return the :attr:`PlannedRun.identity` that a recorded run had; None if its record does not say enough.

    A setting that a record lacks was not a setting yet: its version did what today's default does.

    Args:
        record: content of the record.
    """
    started_from = (record.get("pretrained") or {}).get("sha256")
    # Of several processes each draws noise of its own.
    if (record["config"].get("pretrained") and started_from is None) or record.get("processes", 1) != 1:
        return None
    return _identity(record["model"], record["config"], record["data"].get("files"), started_from)


def pretrained_hash(path: str | Path) -> str:
    """Return the sha256 of a file of pre-trained weights.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        return file_hash(path)
    except FileNotFoundError as problem:
        raise CheckpointError(f"checkpoint {path} does not exist") from problem
    except OSError as problem:
        raise CheckpointError(f"checkpoint {path} cannot be read: {problem.strerror}") from problem


@cache
def _defaults(model: str) -> dict:
    """Return the defaults of the settings that a model uses."""
    file = find_property("model", model)
    return {**defaults_of(model), **(read_yaml(file) if file else {})}


def decisive_settings(model: str, settings: dict) -> dict:
    """Return the settings that decide the figures of a run, its seed apart, completed by the defaults of the model.

    Args:
        model: canonical name of the model.
        settings: settings that were given, or all of a record.
    """
    completed = {**_defaults(model), **for_model(with_former_defaults(settings, model), model)}
    ignored = WITHOUT_EFFECT | RETIRED | APART
    # A setting that stands for nothing need not be written.
    return {
        key: _as_written_once(value) for key, value in completed.items() if key not in ignored and value is not None
    }


def _identity(model: str, settings: dict, files: dict[str, str] | None, started_from: str | None) -> Identity:
    decisive = {"model": model, "settings": decisive_settings(model, settings), "pretrained": started_from}
    return Identity(_hash(decisive), None if files is None else _hash(files))


def _as_written_once(value):
    """Return a setting's value with whole numbers as int: 1 and 1.0 are one setting, in lists and mappings too."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_as_written_once(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _as_written_once(entry) for key, entry in value.items()}
    return value


def _hash(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
