"""What is known of a domain, a run's own or another one beside it: training interactions, item texts, features.

Shapes: N items (row 0 is PAD), I interactions, F feature.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.sequences import positions_within
from recbole_mpo.data.training_counts import pair_counts, training_interactions, training_transitions
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.index_files import raw_names
from recbole_mpo.text.item_features import center_and_scale, encoder_of, load_item_features
from recbole_mpo.text.item_text import ItemText, text_file, texts_of

FEATURE_KEYS = (
    *("text_encoder", "text_pooling", "feature_size", "feature_center", "feature_scale"),
    *("cache_dir", "show_progress", "device"),
)
# Each user's last two interactions, which leave-one-out keeps for valid and test.
HELD_OUT = 2


@dataclass(frozen=True)
class Domain:
    """What a graph is made of.

    Attributes:
        name: of the data set.
        users, items: [I] the training interactions.
        transitions: [N, N] how often item j follows item i in training histories.
        user_names: raw names by user number; empty where a set only has numbers of its own.
        item_tokens: [N].
        texts: [N], empty where they are not asked for.
    """

    name: str
    users: np.ndarray
    items: np.ndarray
    transitions: sparse.csr_matrix
    user_names: list[str]
    item_tokens: np.ndarray
    texts: list[str]

    @property
    def item_num(self) -> int:
        """N."""
        return self.transitions.shape[0]


def target_domain(config, dataset, reads_text: bool) -> Domain:
    """The domain of a run's training part (packed)."""
    users, tokens = (dataset.field2id_token[field] for field in (dataset.uid_field, dataset.iid_field))
    return Domain(
        config["dataset"],
        *training_interactions(dataset),
        training_transitions(dataset),
        raw_names(_user_index(config, config["dataset"]), users),
        tokens,
        texts_of(text_file(config.data_root, config["dataset"]), tokens) if reads_text else [""] * len(tokens),
    )


def source_domain(config, name: str, reads_text: bool) -> Domain:
    """The domain of another data set beside the run's own; each user's last two interactions are left out.

    Raises:
        DataError: the data set is missing, or has no item text where it is asked for.
    """
    histories = read_dataset_histories(config.data_root, name)
    _, position = positions_within(histories.lengths)
    trained = position < (histories.lengths - HELD_OUT)[histories.users]
    users, items = histories.users[trained], histories.items[trained] + 1
    tokens = np.array(["[PAD]", *histories.item_tokens])
    follows = np.flatnonzero(users[1:] == users[:-1])
    return Domain(
        name,
        users,
        items,
        pair_counts(items[follows], items[follows + 1], len(tokens)),
        raw_names(_user_index(config, name), histories.user_tokens),
        tokens,
        texts_of(text_file(config.data_root, name), tokens) if reads_text else [""] * len(tokens),
    )


def _user_index(config, name: str) -> Path:
    return Path(config.data_root) / name / f"{name}.user2index"


def _source_settings(config, name: str) -> dict:
    """The run's settings of features, for another data set beside its own."""
    settings = {key: config[key] for key in FEATURE_KEYS}
    place = {"dataset": name, "data_path": str(Path(config.data_root) / name)}
    return {**settings, **place, "feature_file": config["ccdr_source_feature_file"]}


def domain_features(config, dataset, domains: list[Domain]) -> list[np.ndarray]:
    """Features [N, F] of each domain's items, in one space.

    Raises:
        ConfigError: they cannot be compared: a file for one domain alone, or files of different widths.
    """
    files = config["feature_file"], config["ccdr_source_feature_file"]
    if len(domains) > 1 and (files[0] is None) != (files[1] is None):
        raise ConfigError(
            "features of two domains must be comparable: give both feature_file and ccdr_source_feature_file, or none"
        )
    if len(domains) > 1 and files[0] is None and encoder_of(config).needs_whole_corpus:
        return _encoded_together(config, domains)
    others = (load_item_features(_source_settings(config, one.name), one.item_tokens) for one in domains[1:])
    found = [dataset.item_features().numpy(), *(features.table for features in others)]
    widths = [table.shape[1] for table in found]
    if len(set(widths)) > 1:
        columns = " and ".join(map(str, widths))
        raise ConfigError(f"features of two domains must be comparable, these have {columns} columns")
    return found


def _encoded_together(config, domains: list[Domain]) -> list[np.ndarray]:
    """By an encoder whose vectors can only be compared within one call."""
    tokens = [f"{number}-{token}" for number, one in enumerate(domains) for token in one.item_tokens]
    texts = [text for one in domains for text in texts_of(text_file(config.data_root, one.name), one.item_tokens)]
    name = "+".join(one.name for one in domains)
    item_text = ItemText(tokens, texts, text_file(config.data_root, domains[0].name))
    features = encode_items(item_text, encoder_of(config), config["cache_dir"], name, bool(config["show_progress"]))
    center_and_scale(features, config)
    return np.split(features, np.cumsum([one.item_num for one in domains])[:-1])

