"""The data of a run on one prepared dataset, and what a run needs of any data source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recbole.data.utils import create_samplers, get_dataloader

from recbole_mpo.common.foreign import as_config_error
from recbole_mpo.common.process import settle_memory
from recbole_mpo.common.recbole_globals import without_future_warnings
from recbole_mpo.data.atomic_files import SPLITS, find_layout
from recbole_mpo.data.loader import HistoryLoader, PackedLoader
from recbole_mpo.data.sequences import training_windows
from recbole_mpo.data.target_pairs import target_pairs_hash
from recbole_mpo.quick_start.configure import fit_to_layout
from recbole_mpo.text.item_features import ItemFeatures, feature_path, text_path
from recbole_mpo.text.item_text import text_file


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


class DataSource(Protocol):
    """Where a run's data come from."""

    def check(self, config):
        """Complete the settings by which the files are read; raise DataError if files are missing."""

    def build(self, spec, config) -> RunData:
        """Return datasets and loaders."""

    def files(self, config) -> dict[str, Path]:
        """Return the files that decide a run's figures, by the name that records have for them."""

    def statistics(self, data: RunData) -> dict:
        """Return sizes of the data for the record."""

    def feature_summary(self, data: RunData) -> dict:
        """Return source, size, hash and coverage of the text features, for the record."""

    def trainer_class(self, spec) -> type:
        """Return the class of the run's trainer."""


class OneDataset:
    """One prepared dataset, split by ``eval_args``."""

    def check(self, config):
        """Complete the settings by which RecBole reads the files.

        Raises:
            DataError: the dataset is missing.
        """
        fit_to_layout(config)

    def build(self, spec, config) -> RunData:
        """Return the dataset, its splits and loaders; this completes RecBole's datasets and some settings.

        Raises:
            DataError: the files cannot be read.
            ConfigError: the dataset cannot be split with ``eval_args``.
        """
        with (
            without_future_warnings(),
            as_config_error(f"{config['dataset']} cannot be read and split{config.suspects()}"),
        ):
            return self._build(spec, config)

    def _build(self, spec, config) -> RunData:
        dataset = spec.dataset_class(config)
        splits = dataset.build()
        # Packed training and full ranking need no samplers, which would list the items of every user.
        is_packed = config["train_mode"] == "packed"
        samplers = [None] * len(SPLITS) if is_packed else create_samplers(config, dataset, splits)
        evaluation = [
            get_dataloader(config, phase)(config, split, sampler, shuffle=False)
            for phase, split, sampler in list(zip(SPLITS, splits, samplers, strict=True))[1:]
        ]
        settle_memory(dataset.item_num)
        return RunData(dataset, splits, [_train_loader(spec, config, splits[0], samplers[0]), *evaluation])

    def files(self, config) -> dict[str, Path]:
        """Return the interaction files, the item text and the file of features, as far as there are any, by file name.

        The files of a second dataset that the model reads have its name and a slash before theirs.

        Raises:
            FeatureError: the file of features does not exist.
        """
        files = [*find_layout(config.data_root, config["dataset"]).files, text_path(config)]
        files += [feature_path(config)] if config["feature_file"] else []
        source = config["ccdr_source"]
        others = [*find_layout(config.data_root, source).files, text_file(config.data_root, source)] if source else []
        named = {path.name: path for path in files} | {f"{source}/{path.name}": path for path in others}
        return {name: path for name, path in named.items() if path.is_file()}

    def statistics(self, data: RunData) -> dict:
        """Return the sizes of the dataset and its splits, and the hash of the test targets."""
        return {
            "users": data.dataset.user_num - 1,
            "items": data.dataset.item_num - 1,
            "item_num": data.dataset.item_num,
            "targets": dict(zip(SPLITS, map(len, data.splits), strict=True)),
            "test_pairs": target_pairs_hash(data.splits[-1]),
        }

    def feature_summary(self, data: RunData) -> dict:
        """Return source, size, hash and coverage of the text features."""
        return summary_of_features(data.dataset.features)

    def trainer_class(self, spec) -> type:
        """Return the trainer of the model."""
        return spec.trainer_class


def summary_of_features(features: ItemFeatures) -> dict:
    """Return source, size, hash and coverage of text features, for the record."""
    size = int(features.table.shape[1])
    return {"source": features.source, "dimension": size, "hash": features.hash, **vars(features.report)}


def _train_loader(spec, config, train, sampler):
    if config["train_mode"] != "packed":
        return get_dataloader(config, "train")(config, train, sampler, shuffle=config["shuffle"])
    loader = HistoryLoader if spec.model_class.trains_histories else PackedLoader
    return packed_loader(config, train, loader)


def packed_loader(config, train, loader: type[PackedLoader] = PackedLoader) -> PackedLoader:
    """Return a loader of packed batches of a training part with flat histories."""
    return loader(
        train,
        train.flat_items,
        training_windows(train.rows(), config["MAX_ITEM_LIST_LENGTH"]),
        config["train_batch_size"],
        config["seed"],
        shuffle=config["shuffle"],
        pin_memory=config["device"].type == "cuda",
    )
