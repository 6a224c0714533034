"""The parts of one run: settings, data, loaders and model, each made on first use."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recbole.data.utils import create_samplers, get_dataloader
from recbole.utils import init_seed

from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.common.files import file_hash
from recbole_mpo.common.process import give_back_freed_memory
from recbole_mpo.data.atomic_files import SPLITS, find_layout
from recbole_mpo.data.loader import HistoryLoader, PackedLoader
from recbole_mpo.data.sequences import training_windows
from recbole_mpo.model.parameters import freeze
from recbole_mpo.quick_start.configure import make_config
from recbole_mpo.quick_start.registry import ModelSpec
from recbole_mpo.text.item_features import text_path
from recbole_mpo.trainer import checkpoint

# Items from which on memory is worth more than the time that keeping it saves.
LARGE_CATALOGUE = 1 << 17
# What belongs to the items of one data set: the id table, the text table that UniSRec's published code saves, biases
# of items, the weight of a table of counts.
ITEM_TABLES = ("item_embedding.", "plm_embedding.", "output_bias", "memory.")


@dataclass
class Experiment:
    """The parts of one run, each made on first use.

    Attributes:
        spec, config: the model's classes and the settings.
        is_restored: a checkpoint's weights take the place of those the model starts with.
    """

    spec: ModelSpec
    config: MPOConfig
    is_restored: bool = False

    @classmethod
    def of(cls, model: str, dataset: str, config_files=(), overrides=None, prepares=False) -> "Experiment":
        """From names and settings; ``prepares`` makes a known data set that is absent."""
        return cls(*make_config(model, dataset, config_files, overrides, prepares))

    @classmethod
    def from_checkpoint(cls, path: str | Path, overrides=None) -> tuple["Experiment", dict]:
        """The experiment that wrote a checkpoint, its model holding the weights; and the checkpoint."""
        state = checkpoint.load_checkpoint(path)
        if "config" not in state or "model" not in state:
            raise CheckpointError(
                f"checkpoint {path} holds weights but no settings; a run can start from it (pretrained, or for S3Rec "
                "pretrained)"
            )
        # The checkpoint holds every weight; where its run once started from is no longer needed.
        settings = {**state["config"], "pretrained": None, **(overrides or {})}
        parts = make_config(state["model"], state["config"]["dataset"], (), settings)
        experiment = cls(*parts, is_restored=True)
        checkpoint.check_identity(state, experiment.model, path)
        checkpoint.load_weights(experiment.model, state["state_dict"], path)
        experiment.model.load_other_parameter(state.get("other_parameter"))
        return experiment, state

    def seed(self):
        """Seeds the global generators."""
        init_seed(self.config["seed"], self.config["reproducibility"])

    @cached_property
    def dataset(self):
        """The whole data set."""
        return self.spec.dataset_class(self.config)

    @cached_property
    def splits(self):
        """Train, valid and test data sets."""
        try:
            return self.dataset.build()
        except (AssertionError, KeyError, NotImplementedError, TypeError, ValueError) as problem:
            raise ConfigError(
                f"{self.config['dataset']} cannot be split with eval_args {self.config['eval_args']}: {problem}"
            ) from problem

    @cached_property
    def loaders(self):
        """Train, valid and test loaders; RecBole's but for packed training."""
        # Nothing is sampled in packed training and full ranking, and samplers list every user's items.
        is_packed = self.config["train_mode"] == "packed"
        samplers = [None] * 3 if is_packed else create_samplers(self.config, self.dataset, self.splits)
        evaluation = [
            get_dataloader(self.config, phase)(self.config, split, sampler, shuffle=False)
            for phase, split, sampler in list(zip(SPLITS, self.splits, samplers, strict=True))[1:]
        ]
        return [self._train_loader(samplers[0]), *evaluation]

    def _train_loader(self, sampler):
        config, train = self.config, self.splits[0]
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

    @cached_property
    def model(self):
        """The model on its device, with ``freeze`` and ``pretrained`` applied."""
        self.loaders  # noqa: B018 - RecBole finishes a data set, and some settings, while it makes the loaders
        self.seed()
        if self.dataset.item_num > LARGE_CATALOGUE:
            give_back_freed_memory()
        try:
            model = self.spec.build(self.config, self.splits[0])
        except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError) as problem:
            raise ConfigError(f"{self.spec.name} cannot be built with these settings: {problem}") from problem
        if not self.is_restored:
            self._start(model)
        freeze(model, self.config["freeze"])
        return model.to(self.config["device"])

    def trainer(self, run_dir: str | Path):
        """A trainer of the model that keeps its files in ``run_dir``."""
        try:
            return self.spec.trainer_class(self.config, self.model, run_dir)
        except (TypeError, ValueError) as problem:
            raise ConfigError(f"the training settings do not fit together: {problem}") from problem

    def _start(self, model):
        if self.config["pretrained"]:
            self._start_from(model, self.config["pretrained"])
        elif hasattr(model, "check_fresh_start"):
            model.check_fresh_start()

    def _start_from(self, model, path):
        """Weights of a checkpoint, dense or MPO; what belongs to one data set or stage stays as initialised.

        A model can name weights of that kind (``fresh_weights``), and take over others than by name (``carry_over``).
        """
        state, own = checkpoint.load_checkpoint(path), model.state_dict()
        kept = (*ITEM_TABLES, *getattr(model, "fresh_weights", ()))
        weights = {name: value for name, value in state["state_dict"].items() if not name.startswith(kept)}
        weights.update({name: own[name] for name in own if name.startswith(kept)})
        if hasattr(model, "carry_over"):
            weights.update(model.carry_over(state, path))
        checkpoint.load_weights(model, weights, path)

    def statistics(self) -> dict:
        """Sizes of the data set and of its splits."""
        dataset = self.dataset
        targets = dict(zip(SPLITS, (len(split) for split in self.splits), strict=True))
        return {
            "files": {path.name: file_hash(path) for path in self._data_files()},
            "users": dataset.user_num - 1,
            "items": dataset.item_num - 1,
            "item_num": dataset.item_num,
            "targets": targets,
        }

    def _data_files(self):
        text = text_path(self.config)
        files = find_layout(self.config.data_root, self.config["dataset"]).files
        return (*files, text) if text.is_file() else files

    def feature_summary(self) -> dict | None:
        """Source, size, hash and coverage of the text features; None where the model takes none."""
        if getattr(self.model, "feature_hash", None) is None:
            return None
        features = self.dataset.features
        return {
            "source": features.source,
            "dimension": int(features.table.shape[1]),
            "hash": features.hash,
            **vars(features.report),
        }
