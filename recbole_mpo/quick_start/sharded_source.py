"""The data of a run on one sharded dataset, which need not fit in memory."""

import logging
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.process import settle_memory
from recbole_mpo.common.values import as_list
from recbole_mpo.data.atomic_files import SPLITS, Fields, find_layout
from recbole_mpo.data.shard_evaluation import EvaluatedRows, EvaluationLoader
from recbole_mpo.data.shard_loader import ShardLoader, TrainingPart
from recbole_mpo.data.shard_manifest import Manifest
from recbole_mpo.data.sharded_dataset import ShardedDataset
from recbole_mpo.quick_start.one_dataset import RunData, summary_of_features
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.text.item_features import feature_path, text_path
from recbole_mpo.trainer.distributed import joined_ranks
from recbole_mpo.trainer.ranking import can_rank

logger = logging.getLogger(__name__)

# RecBole's settings that leave interactions out, change their columns, or read other files and columns.
OF_TABLES = (
    *("user_inter_num_interval", "item_inter_num_interval", "val_interval", "rm_dup_inter"),
    *("threshold", "discretization", "normalize_field", "normalize_all", "numerical_features"),
    *("benchmark_filename", "unload_col", "unused_col", "additional_feat_suffix", "preload_weight"),
    *("alias_of_user_id", "alias_of_item_id", "alias_of_entity_id", "alias_of_relation_id"),
)
EVERYTHING = "[0,inf)"
LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user"}


class ShardedSource:
    """One sharded dataset, split by leave-one-out; each process trains on parts of its own."""

    def check(self, config):
        """Check that the dataset exists and that the settings fit.

        Raises:
            DataError: the dataset is missing.
            ConfigError: a setting or the model needs all interactions in memory.
        """
        model_class = find_model(config["model"]).model_class
        trains_windows = model_class.trains_packed and not model_class.trains_histories and not model_class.reads
        of_tables = _settings_of_tables(config)
        refusals = {
            "a model that is trained on windows of histories, such as MPORec": not (
                trains_windows and model_class.is_built_from_items
            ),
            "train_mode=packed": config["train_mode"] != "packed",
            "eval_history=kept": config["eval_history"] != "kept",
            "eval_mode=ranks": config["eval_mode"] != "ranks",
            "metrics that follow from ranks, such as Hit, NDCG and MRR": not can_rank(config["metrics"]),
            "no evidence, which is counted in memory": bool(as_list(config["evidence"])),
            "items as targets: leave out user_profile": bool(config["user_profile"]),
            "eval_args with LS: valid_and_test, order: TO, group_by: user": any(
                config["eval_args"].get(key) != value for key, value in LEAVE_ONE_OUT.items()
            ),
            "a single process for count_flops, as each has only its part of a batch": (
                bool(config["count_flops"]) and joined_ranks().count > 1
            ),
            f"all interactions as they are: leave out {' and '.join(of_tables)}": bool(of_tables),
        }
        for needed, is_missing in refusals.items():
            if is_missing:
                raise ConfigError(f"{config['dataset']} is sharded, and training on it needs {needed}")
        find_layout(config.data_root, config["dataset"])

    def build(self, spec, config) -> RunData:
        """Return the dataset, which is its training part too, with its evaluated rows and loaders.

        Raises:
            DataError: a file is missing, damaged or of another dataset, or a split is empty.
            DependencyError: pyarrow is not installed.
        """
        dataset = ShardedDataset(config, Manifest.read(find_layout(config.data_root, config["dataset"]).files[0]))
        settle_memory(dataset.item_num)
        evaluated = [EvaluatedRows(dataset, split) for split in SPLITS[1:]]
        for name, split in zip(SPLITS, (dataset, *evaluated), strict=True):
            if not len(split):
                raise DataError(
                    f"the {name} split of {config['dataset']} is empty: leave-one-out needs users with at least 4 "
                    "interactions"
                )
        loaders = [EvaluationLoader(rows, config["eval_batch_size"]) for rows in evaluated]
        return RunData(dataset, [dataset, *evaluated], [shard_loader(config, dataset), *loaders])

    def files(self, config) -> dict[str, Path]:
        """Return the manifest, which has the hashes of the parts, the item text and the file of features."""
        manifest = find_layout(config.data_root, config["dataset"]).files[0]
        text = text_path(config)
        files = {f"{manifest.parent.name}/{manifest.name}": manifest, text.name: text}
        if config["feature_file"]:
            files[feature_path(config).name] = feature_path(config)
        return {name: path for name, path in files.items() if path.is_file()}

    def statistics(self, data: RunData) -> dict:
        """Return the sizes of the dataset and its splits, and the hashes of all rows and of the test targets."""
        dataset = data.dataset
        return {
            "users": dataset.manifest.users,
            "items": dataset.manifest.items,
            "item_num": dataset.item_num,
            "targets": dict(zip(SPLITS, map(len, data.splits), strict=True)),
            "test_pairs": dataset.facts.test_pairs,
            **({"rows_hash": dataset.manifest.rows_hash} if dataset.manifest.rows_hash else {}),
        }

    def feature_summary(self, data: RunData) -> dict:
        """Return source, size, hash and coverage of the text features."""
        return summary_of_features(data.dataset.features)

    def trainer_class(self, spec) -> type:
        """Return the trainer of the model."""
        return spec.trainer_class


def _settings_of_tables(config) -> list[str]:
    """Return those of RecBole's settings of tables that are in use, which shards would silently ignore."""
    fields, columns = Fields.of(config), config["load_col"] or {}
    held = {fields.user, fields.item, fields.time}
    reads_more = columns.keys() - {"inter"} or set(as_list(columns.get("inter"))) - held
    in_use = [key for key in OF_TABLES if config[key] and config[key] != EVERYTHING]
    return in_use + (["load_col"] if reads_more else [])


def shard_loader(config, dataset: ShardedDataset) -> ShardLoader:
    """Return the loader of this process: of several, process k has every n-th part from the k-th on."""
    ranks = joined_ranks()
    own = range(ranks.number, len(dataset.parts), ranks.count)
    return ShardLoader(
        dataset,
        [TrainingPart(number, dataset.parts[number].items, dataset.windows(number)) for number in own],
        len(dataset),
        config["train_batch_size"],
        config["seed"],
        shuffle=config["shuffle"],
        pin_memory=config["device"].type == "cuda",
        add_up=lambda counts: np.asarray(ranks.sum(torch.from_numpy(counts))),
    )
