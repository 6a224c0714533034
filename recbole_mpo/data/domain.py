"""What is known of a domain, a run's own or another one beside it: training interactions, item texts, features.

Shapes: N items (row 0 is PAD), I interactions, F feature.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from recbole_mpo.data.counts import training_interactions, training_transitions
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.item_features import load_item_features, text_path
from recbole_mpo.data.item_text import read_index, texts_of
from recbole_mpo.data.sequences import positions_within

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
        users, items: [I] the training interactions.
        transitions: [N, N] how often item j follows item i in training histories.
        user_names: raw names by user number; empty where a set only has numbers of its own.
        texts: [N].
        features: [N, F], None where they are not asked for.
    """

    users: np.ndarray
    items: np.ndarray
    transitions: sparse.csr_matrix
    user_names: list[str]
    texts: list[str]
    features: np.ndarray | None

    @property
    def item_num(self) -> int:
        return self.transitions.shape[0]


def target_domain(config, dataset, with_features: bool) -> Domain:
    """The domain of a run's training part (packed)."""
    tokens = dataset.field2id_token
    return Domain(
        *training_interactions(dataset),
        training_transitions(dataset),
        _user_names(config.data_root, config["dataset"], tokens[dataset.uid_field].tolist()),
        texts_of(text_path(config), tokens[dataset.iid_field]),
        dataset.item_features().numpy() if with_features else None,
    )


def source_domain(config, name: str, feature_file, with_features: bool) -> Domain:
    """The domain of another data set beside the run's own; each user's last two interactions are left out.

    Raises:
        DataError: the data set is missing, or has no item text.
    """
    histories = read_dataset_histories(config.data_root, name)
    _, position = positions_within(histories.lengths)
    trained = position < (histories.lengths - HELD_OUT)[histories.users]
    users, items = histories.users[trained], histories.items[trained] + 1
    tokens = np.array(["[PAD]", *histories.item_tokens])
    follows = np.flatnonzero(users[1:] == users[:-1])
    counts = np.ones(len(follows)), (items[follows], items[follows + 1])
    settings = {key: config[key] for key in FEATURE_KEYS}
    settings |= {"dataset": name, "data_path": str(Path(config.data_root) / name), "feature_file": feature_file}
    return Domain(
        users,
        items,
        sparse.coo_matrix(counts, shape=(len(tokens), len(tokens))).tocsr(),
        _user_names(config.data_root, name, histories.user_tokens.tolist()),
        texts_of(text_path(settings), tokens),
        load_item_features(settings, tokens).table if with_features else None,
    )


def _user_names(data_root, name: str, tokens: list[str]) -> list[str]:
    """Raw names: those of ``.user2index``, or the tokens where they are no mere numbers."""
    index_file = Path(data_root) / name / f"{name}.user2index"
    if index_file.is_file():
        name_of = {number: raw for raw, number in read_index(index_file).items()}
        return [name_of.get(token, "") for token in tokens]
    return [] if all(token.isdecimal() for token in tokens if token != "[PAD]") else tokens
