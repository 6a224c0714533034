"""The data of a run that predicts a class of users, such as their gender, in place of their next items."""

from dataclasses import replace
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import settings_of
from recbole_mpo.data.atomic_files import SPLITS
from recbole_mpo.data.profile_dataset import UserProfileDataset, profile_statistics, users_file
from recbole_mpo.data.target_pairs import target_pairs_hash
from recbole_mpo.quick_start.one_dataset import OneDataset, RunData

# What such a run has unless it is given: accuracy, and batches of which there are several where users are few.
DEFAULTS = {"metrics": ["Hit"], "topk": [1], "valid_metric": "Hit@1", "train_batch_size": 64}
# Settings of the prediction of items.
OF_ITEMS = ("eval_users", "loss", "mask_pad", "head_text", "evidence", "eval_history")


class UserProfiles(OneDataset):
    """One prepared dataset whose users are split into train, valid and test; the targets are classes of users."""

    def check(self, config):
        """Complete the settings of such a run.

        Raises:
            ConfigError: settings do not fit, or have no effect.
            DataError: the dataset is missing.
        """
        super().check(config)
        column = config["user_profile"]
        if config["train_stage"].lower() != "finetune":
            raise ConfigError(f"user_profile={column} is a target of fine-tuning: add train_stage=finetune")
        if config["eval_mode"] != "ranks":
            raise ConfigError(f"user_profile={column} needs eval_mode=ranks: RecBole's evaluator ranks items")
        rows = settings_of(config["model"])
        idle = [key for key in OF_ITEMS if config[key] != rows[key].default]
        if idle:
            raise ConfigError(f"{idle[0]} is for items as targets, and has no effect with user_profile={column}")
        for key, value in DEFAULTS.items():
            config.set_default(key, value)
        config.check_valid_metric()

    def build(self, spec, config) -> RunData:
        """Return users with their newest items and classes; this completes RecBole's datasets and some settings.

        Raises:
            DataError: the files cannot be read, or do not give the classes.
        """
        return super().build(replace(spec, dataset_class=UserProfileDataset), config)

    def files(self, config) -> dict[str, Path]:
        """Return the files of the dataset, and that of its users, by file name."""
        path = users_file(config)
        return super().files(config) | ({path.name: path} if path.is_file() else {})

    def statistics(self, data: RunData) -> dict:
        """Return the sizes of the dataset and its parts, the hash of users and classes of test, and the classes."""
        dataset = data.dataset
        return {
            "users": dataset.user_num - 1,
            "items": dataset.item_num - 1,
            "item_num": dataset.item_num,
            "targets": dict(zip(SPLITS, map(len, data.splits), strict=True)),
            "test_pairs": target_pairs_hash(data.splits[-1], dataset.column),
            "profile": profile_statistics(dataset, data.splits),
        }
