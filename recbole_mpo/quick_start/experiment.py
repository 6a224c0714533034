"""The parts of one run: settings, data and loaders, model, trainer."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from recbole.data.utils import create_samplers, get_dataloader
from recbole.utils import init_seed

from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.files import file_hash
from recbole_mpo.common.foreign import as_config_error
from recbole_mpo.common.process import settle_memory
from recbole_mpo.common.recbole_globals import without_future_warnings
from recbole_mpo.data.atomic_files import SPLITS, find_layout
from recbole_mpo.data.loader import HistoryLoader, PackedLoader
from recbole_mpo.data.sequences import training_windows
from recbole_mpo.model.parameters import freeze
from recbole_mpo.quick_start.configure import fit_to_layout, make_config
from recbole_mpo.quick_start.registry import ModelSpec
from recbole_mpo.quick_start.starting import settings_of, start
from recbole_mpo.text.item_features import text_path
from recbole_mpo.trainer import checkpoint


@dataclass(frozen=True)
class RunData:
    """The data of one run.

    Attributes:
        dataset: the whole dataset.
        splits: train, valid and test datasets.
        loaders: loaders of the splits; all are RecBole's, except that of packed training.
    """

    dataset: object
    splits: list
    loaders: list


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


@dataclass
class Experiment:
    """The settings of one run, and the data, model and trainer that are built from them.

    Attributes:
        spec: name and classes of the model.
        config: settings of the run.
    """

    spec: ModelSpec
    config: MPOConfig

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
        """
        fit_to_layout(config)
        return cls(spec, config)

    @classmethod
    def from_checkpoint(cls, path: str | Path, overrides: dict | None = None) -> Restored:
        """Return the experiment that wrote a checkpoint, its model with the weights, and the checkpoint's content.

        Args:
            path: file of the checkpoint.
            overrides: settings that override those of the checkpoint.

        Raises:
            CheckpointError: the checkpoint is missing, damaged or without settings, or was trained on other data.
            ConfigError: the settings do not fit together.
            DataError: the dataset cannot be read.
        """
        state = checkpoint.load_checkpoint(path)
        experiment = cls.with_config(*make_config(**settings_of(state, path, overrides)))
        return Restored(experiment, experiment.restore_model(state, path), state)

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
        with without_future_warnings(), as_config_error(
            f"{self.config['dataset']} cannot be read and split{self.config.suspects()}"
        ):
            return self._build_data()

    def _build_data(self) -> RunData:
        config = self.config
        dataset = self.spec.dataset_class(config)
        splits = dataset.build()
        # Packed training and full ranking need no samplers, which would list the items of every user.
        is_packed = config["train_mode"] == "packed"
        samplers = [None] * len(SPLITS) if is_packed else create_samplers(config, dataset, splits)
        evaluation = [
            get_dataloader(config, phase)(config, split, sampler, shuffle=False)
            for phase, split, sampler in list(zip(SPLITS, splits, samplers, strict=True))[1:]
        ]
        settle_memory(dataset.item_num)
        return RunData(dataset, splits, [self._train_loader(splits[0], samplers[0]), *evaluation])

    def _train_loader(self, train, sampler):
        config = self.config
        if config["train_mode"] != "packed":
            return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])
        windows = training_windows(train.rows(), config["MAX_ITEM_LIST_LENGTH"])
        loader = HistoryLoader if self.spec.model_class.trains_histories else PackedLoader
        return loader(
            train,
            train.flat_items,
            windows,
            config["train_batch_size"],
            config["seed"],
            shuffle=config["shuffle"],
            pin_memory=config["device"].type == "cuda",
        )

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

    def restore_model(self, state: dict, path: str | Path):
        """Return a model on its device with the weights of a checkpoint of the same data.

        Args:
            state: content of the checkpoint.
            path: file of the checkpoint, for messages.

        Raises:
            CheckpointError: the checkpoint has other data or another architecture.
        """
        model = self._initialised_model()
        checkpoint.restore_model(model, state, path)
        return self._ready(model)

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
            return self.spec.trainer_class(self.config, model, run_dir)

    def statistics(self) -> dict:
        """Return the sizes of the dataset and its splits, and the hashes of its files, for the record."""
        dataset, splits = self.data.dataset, self.data.splits
        return {
            "files": self.file_hashes(),
            "users": dataset.user_num - 1,
            "items": dataset.item_num - 1,
            "item_num": dataset.item_num,
            "targets": dict(zip(SPLITS, map(len, splits), strict=True)),
        }

    def file_hashes(self) -> dict[str, str]:
        """Return the sha256 of each file of the dataset by file name."""
        text = text_path(self.config)
        files = find_layout(self.config.data_root, self.config["dataset"]).files
        return {path.name: file_hash(path) for path in ((*files, text) if text.is_file() else files)}

    def feature_summary(self, model) -> dict | None:
        """Return source, size, hash and coverage of the text features; None if the model does not use text."""
        if model.feature_hash is None:
            return None
        features = self.data.dataset.features
        return {
            "source": features.source,
            "dimension": int(features.table.shape[1]),
            "hash": features.hash,
            **vars(features.report),
        }
