"""The data of pre-training: several prepared datasets, mixed in every batch."""

from functools import partial
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.process import settle_memory
from recbole_mpo.common.values import as_list
from recbole_mpo.data.atomic_files import Fields, find_layout
from recbole_mpo.data.domains import feature_settings
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.mixture import HeldOutUsers, MixedFeatures, Mixture
from recbole_mpo.quick_start.one_dataset import RunData, packed_loader
from recbole_mpo.text.fitted_text import FittedBlock, FittedText
from recbole_mpo.text.index_files import PAD
from recbole_mpo.text.item_features import encoder_names, load_item_features, needs_fit
from recbole_mpo.text.item_text import text_file
from recbole_mpo.text.standardising import Standardising
from recbole_mpo.trainer.pretraining import DomainTrainer
from recbole_mpo.trainer.ranking import can_rank

# Settings of the users of one dataset, and of figures that a mixture does not have.
OF_ONE_DATASET = ("train_users", "eval_users", "eval_loss", "count_flops")


class MixedDomains:
    """Several prepared datasets (``domains``), of which a few users are held out for validation."""

    def check(self, config):
        """Check that the domains exist and can be mixed.

        Raises:
            DataError: a domain is missing.
            ConfigError: the settings do not fit a mixture.
        """
        names = as_list(config["domains"])
        if config["dataset"] != "+".join(names):
            raise ConfigError(
                f"domains are for pre-training (recbole-mpo pretrain --domains={','.join(names)}); a run on "
                f"{config['dataset']} leaves them out"
            )
        if len(set(names)) < len(names):
            raise ConfigError(f"domains names a dataset twice: {', '.join(names)}")
        for key in OF_ONE_DATASET:
            if config[key] not in (None, 1, False):
                raise ConfigError(f"{key} is for runs on one dataset; leave it out with domains")
        for name in names:
            find_layout(config.data_root, name).as_text()
        refusals = {
            "item_input=text, because ids mean nothing in another dataset": config["item_input"] != "text",
            "train_mode=packed": config["train_mode"] != "packed",
            "no evidence, because its counts belong to one dataset": bool(config["evidence"]),
            "eval_history=kept": config["eval_history"] != "kept",
            "eval_mode=ranks": config["eval_mode"] != "ranks",
            "metrics that follow from ranks, such as Hit, NDCG and MRR": not can_rank(config["metrics"]),
            "epochs of at least 1": config["epochs"] < 1,
            "encoders that are not fitted to each dataset, such as minilm": needs_fit(config),
            "feature_statistics=domain, with several encoders": (
                config["feature_statistics"] == "joint" and len(encoder_names(config["text_encoder"])) > 1
            ),
            "text_encoder, because a feature_file holds the items of one dataset": bool(config["feature_file"]),
        }
        for needed, is_missing in refusals.items():
            if is_missing:
                raise ConfigError(f"pre-training on several domains needs {needed}")

    def build(self, spec, config) -> RunData:
        """Return the mixture, as the dataset and as its training part, and the held-out users as its valid part.

        Raises:
            DataError: the files of a domain cannot be read.
            FeatureError: a domain has no usable item text.
        """
        names, fields = as_list(config["domains"]), Fields.of(config)
        histories = [read_dataset_histories(config.data_root, name, fields) for name in names]
        limits = config["MAX_ITEM_LIST_LENGTH"], config["held_out_users"]
        load = partial(mixed_features, config, names, histories)
        mixture = Mixture(names, histories, load, *limits, fields.item, fields.user)
        settle_memory(mixture.item_num)
        evaluated = [mixture.held_out, HeldOutUsers([])]
        return RunData(mixture, [mixture, *evaluated], [packed_loader(config, mixture), *evaluated])

    def files(self, config) -> dict[str, Path]:
        """Return the interaction files and item texts of all domains, by ``<Name>/<file>``."""
        names = as_list(config["domains"])
        files = [path for name in names for path in find_layout(config.data_root, name).files]
        files += [text_file(config.data_root, name) for name in names]
        return {f"{path.parent.name}/{path.name}": path for path in files if path.is_file()}

    def statistics(self, data: RunData) -> dict:
        """Return the sizes of the mixture."""
        mixture = data.dataset
        return {
            "domains": mixture.names,
            "users": mixture.num(mixture.uid_field) - 1,
            "items": mixture.item_num - 1,
            "item_num": mixture.item_num,
            "targets": {"train": len(mixture), "valid": sum(map(len, mixture.held_out)), "test": 0},
        }

    def feature_summary(self, data: RunData) -> dict:
        """Return source, size, hash and coverage of the text features."""
        return {**data.dataset.features.summary(), "hash": data.dataset.feature_hash}

    def trainer_class(self, spec) -> type:
        """Return the trainer that validates in each domain."""
        return DomainTrainer


def mixed_features(
    config, names: list[str], histories: list[Histories], fitted: dict[str, FittedText]
) -> MixedFeatures:
    """Return the features of each domain's items.

    ``feature_statistics: domain`` centres and scales each domain by itself, as a run on it does; ``joint`` all of them
    with one mean and one scale.

    Args:
        config: settings of the run.
        names: names of the domains.
        histories: interactions of each domain.
        fitted: what was fitted to item texts in an earlier run, by domain; it is used instead of being fitted again.
    """
    tokens = [np.array([PAD, *one.item_tokens]) for one in histories]
    joint = config["feature_statistics"] == "joint" and not fitted
    given = [FittedText((FittedBlock(),)) if joint else fitted.get(name) for name in names]
    settings = [feature_settings(config, name, None) for name in names]
    loaded = [load_item_features(*one) for one in zip(settings, tokens, given, strict=True)]
    table = np.concatenate([loaded[0].table, *(one.table[1:] for one in loaded[1:])])
    if joint:
        numbers = Standardising.fit(table, config["feature_center"], config["feature_scale"])
        numbers.apply(table)
        used = dict.fromkeys(names, FittedText((FittedBlock(numbers),)))
    else:
        used = {name: one.fitted for name, one in zip(names, loaded, strict=True)}
    return MixedFeatures(table, used, loaded[0].source, [one.report for one in loaded])
