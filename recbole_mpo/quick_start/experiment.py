"""The parts of one run: settings, data and loaders, model, trainer."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from recbole.utils import init_seed

from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.errors import CheckpointError, ConfigError, FeatureError
from recbole_mpo.common.files import file_hash
from recbole_mpo.common.foreign import as_config_error
from recbole_mpo.data.atomic_files import find_layout
from recbole_mpo.model.parameters import freeze
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.mixed_domains import MixedDomains
from recbole_mpo.quick_start.one_dataset import DataSource, OneDataset, RunData
from recbole_mpo.quick_start.registry import ModelSpec
from recbole_mpo.quick_start.sharded_source import ShardedSource
from recbole_mpo.quick_start.starting import settings_of, start
from recbole_mpo.quick_start.user_profiles import UserProfiles
from recbole_mpo.trainer import checkpoint

logger = logging.getLogger(__name__)


class Restored(NamedTuple):
    """What can be restored from a checkpoint.

    Attributes:
        experiment: the experiment that wrote it.
        model: the model with the checkpoint's weights.
        state: the content of the checkpoint.
    """

    experiment: "Experiment"
    model: object
    state: dict


def source_of(config) -> DataSource:
    """Return where a run's data come from.

    Raises:
        DataError: the dataset is missing.
    """
    if config["domains"]:
        return MixedDomains()
    if find_layout(config.data_root, config["dataset"]).is_sharded:
        return ShardedSource()
    return UserProfiles() if config["user_profile"] else OneDataset()


@dataclass
class Experiment:
    """The settings of one run, and the data, model and trainer that are built from them.

    Attributes:
        spec: name and classes of the model.
        config: settings of the run.
        source: where its data come from.
    """

    spec: ModelSpec
    config: MPOConfig
    source: DataSource = field(default_factory=OneDataset)

    @classmethod
    def of(
        cls, model: str, dataset: str, config_files: Iterable[str | Path] = (), overrides: dict | None = None
    ) -> "Experiment":
        """Return an experiment with a model and a dataset of these names.

        Args:
            model: name of the model in any capitalisation.
            dataset: name of the dataset, whose files must exist.
            config_files: YAML files; later files override earlier ones.
            overrides: settings that override the files.

        Raises:
            ConfigError: the model is unknown, or settings are wrong or do not fit together.
            DataError: the dataset is missing.
        """
        return cls.with_config(*make_config(model, dataset, config_files, overrides))

    @classmethod
    def with_config(cls, spec: ModelSpec, config: MPOConfig) -> "Experiment":
        """Return an experiment with checked settings.

        Args:
            spec: name and classes of the model.
            config: checked settings.

        Raises:
            DataError: the dataset is missing.
            ConfigError: domains cannot be mixed with these settings.
        """
        source = source_of(config)
        source.check(config)
        return cls(spec, config, source)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        overrides: dict | None = None,
        allows_edits: bool = False,
        check: Callable[[dict], None] | None = None,
    ) -> Restored:
        """Return the experiment that wrote a checkpoint, its model with the weights, and the checkpoint's content.

        Args:
            path: file of the checkpoint.
            overrides: settings that override those of the checkpoint.
            allows_edits: whether some items may have other texts than in training.
            check: refuses settings of checkpoints, by raising, before the dataset is looked for.

        Raises:
            CheckpointError: the checkpoint is missing, damaged or without settings, or was trained on other data.
            ConfigError: the settings do not fit together.
            DataError: the dataset cannot be read.
        """
        state = checkpoint.load_checkpoint(path)
        if check is not None:
            check(state.get("config", {}))
        experiment = cls.with_config(*make_config(**settings_of(state, path, overrides)))
        model = experiment.restore_model(state, path, allows_edits)
        if model.awaits_fit:
            logger.warning("%s has not fitted its evidence yet, which is left out: resume its run", path)
        return Restored(experiment, model, state)

    def seed(self):
        """Seed the global random generators with the setting ``seed``."""
        init_seed(self.config["seed"], self.config["reproducibility"])

    @cached_property
    def data(self) -> RunData:
        """The dataset, its splits and loaders; building the loaders completes RecBole's datasets and some settings.

        Raises:
            DataError: the files cannot be read.
            ConfigError: the dataset cannot be split with ``eval_args``.
        """
        return self.source.build(self.spec, self.config)

    def build_model(self):
        """Return a new model on its device, with the settings ``pretrained`` and ``freeze`` applied.

        Raises:
            ConfigError: the settings do not fit the model.
            CheckpointError: the model cannot start from ``pretrained``.
            DataError: the dataset cannot be read.
        """
        model = self._initialised_model()
        start(model, self.config)
        return self._ready(model)

    def restore_model(self, state: dict, path: str | Path, allows_edits: bool = False):
        """Return a model on its device with the weights of a checkpoint of the same data.

        Items that got their text after training change nothing: the features of the others are made with what was
        fitted to the texts of that run.

        Args:
            state: content of the checkpoint.
            path: file of the checkpoint, for messages.
            allows_edits: whether some items may have other texts than in training.

        Raises:
            CheckpointError: the checkpoint has other data or another architecture.
        """
        try:
            self._use_fitted_text(state)
            self.data.splits[0].fitted_words = state.get("fitted_words")
            model = self._initialised_model()
        except FeatureError as problem:
            raise CheckpointError(f"checkpoint {path}: {problem}") from problem
        checkpoint.restore_model(model, state, path, allows_edits)
        return self._ready(model)

    def _use_fitted_text(self, state: dict):
        stored = state.get("fitted_text")
        if not stored:
            return
        for setting, part in (("feature_center", "mean"), ("feature_scale", "scale")):
            if not self.config[setting] and any(part in arrays for arrays in stored.values()):
                raise ConfigError(f"{setting} cannot be changed: the checkpoint has the {part} of its features")
        self.data.dataset.use_fitted_text(stored)

    def _initialised_model(self):
        train = self.data.splits[0]
        self.seed()
        return self.spec.build(self.config, train)

    def _ready(self, model):
        freeze(model, self.config["freeze"])
        return model.to(self.config["device"])

    def trainer(self, model, run_dir: str | Path):
        """Return a trainer of the model that writes its files into ``run_dir``.

        Raises:
            ConfigError: the training settings do not fit together.
        """
        with as_config_error(f"the training settings do not fit together{self.config.suspects()}"):
            return self.source.trainer_class(self.spec)(self.config, model, run_dir)

    def statistics(self) -> dict:
        """Return sizes of the data, and hashes of their files, for the record."""
        return {"files": self.file_hashes(), **self.source.statistics(self.data)}

    def file_hashes(self) -> dict[str, str]:
        """Return the sha256 of each file of the data by name."""
        return {name: file_hash(path) for name, path in self.source.files(self.config).items()}

    def feature_summary(self, model) -> dict | None:
        """Return source, size, hash and coverage of the text features; None if the model does not use text."""
        return None if model.feature_hash is None else self.source.feature_summary(self.data)
