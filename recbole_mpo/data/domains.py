"""Data of a domain (a run's dataset or a second one): training interactions, item texts, features.

Shapes: N items (row 0 is PAD), I interactions, F feature.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.atomic_files import Fields
from recbole_mpo.data.domain_ids import joined_id
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.sequences import positions_within
from recbole_mpo.data.training_counts import pair_counts, training_interactions, training_transitions
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.index_files import PAD, raw_names
from recbole_mpo.text.item_features import encode_texts, load_item_features, needs_fit
from recbole_mpo.text.item_text import ItemText, text_file, texts_of

FEATURE_KEYS = (
    *("text_encoder", "text_pooling", "feature_size", "feature_center", "feature_scale"),
    *("cache_dir", "show_progress", "device"),
)
# Interactions per user that leave-one-out holds out for valid and test.
HELD_OUT = 2


@dataclass(frozen=True)
class Domain:
    """The data from which a graph is made.

    Attributes:
        name: name of the dataset.
        users, items: [I] the training interactions.
        transitions: [N, N] how often item j follows item i in training histories.
        user_names: raw names by user number; an empty list if the dataset has only its own numbers.
        item_tokens: [N] tokens of the items.
        texts: [N] texts of the items; empty texts if they were not requested.
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
        """Return N, the number of items with PAD."""
        return self.transitions.shape[0]


def target_domain(config, dataset, reads_text: bool) -> Domain:
    """Return the domain of a run's training part, which must be packed."""
    name = config["dataset"]
    users, items = training_interactions(dataset)
    user_tokens, item_tokens = (dataset.field2id_token[field] for field in (dataset.uid_field, dataset.iid_field))
    names, texts = _names_and_texts(config, name, user_tokens, item_tokens, reads_text)
    return Domain(name, users, items, training_transitions(dataset), names, item_tokens, texts)


def source_domain(config, name: str, reads_text: bool) -> Domain:
    """Return the domain of a second dataset, without each user's last two interactions.

    Its files must have the same column names as the run's.

    Raises:
        DataError: the dataset is missing, has other columns, or has no item text although it is requested.
    """
    histories = read_dataset_histories(config.data_root, name, Fields.of(config))
    _, position = positions_within(histories.lengths)
    is_trained = position < (histories.lengths - HELD_OUT)[histories.users]
    users, items = histories.users[is_trained], histories.items[is_trained] + 1
    item_tokens = np.array([PAD, *histories.item_tokens])
    follows = np.flatnonzero(users[1:] == users[:-1])
    transitions = pair_counts(items[follows], items[follows + 1], len(item_tokens))
    names, texts = _names_and_texts(config, name, histories.user_tokens, item_tokens, reads_text)
    return Domain(name, users, items, transitions, names, item_tokens, texts)


def _names_and_texts(config, name: str, user_tokens, item_tokens, reads_text: bool) -> tuple[list[str], list[str]]:
    """Return the users' raw names, and the items' texts [N] if they are read."""
    user_index = Path(config.data_root) / name / f"{name}.user2index"
    texts = texts_of(text_file(config.data_root, name), item_tokens) if reads_text else [""] * len(item_tokens)
    return raw_names(user_index, user_tokens), texts


def domain_features(config, dataset, domains: list[Domain]) -> list[np.ndarray]:
    """Return the features [N, F] of each domain's items, in one space.

    Raises:
        ConfigError: the features cannot be compared: only one domain has a file, or the files differ in width.
    """
    files = config["feature_file"], config["ccdr_source_feature_file"]
    if len(domains) > 1 and (files[0] is None) != (files[1] is None):
        raise ConfigError(
            "features of two domains must be comparable: give both feature_file and ccdr_source_feature_file, or "
            "neither"
        )
    if len(domains) > 1 and needs_fit(config):
        return _encoded_together(config, dataset, domains)
    tables = [dataset.item_features().numpy(), *(_source_table(config, dataset, one) for one in domains[1:])]
    widths = [table.shape[1] for table in tables]
    if len(set(widths)) > 1:
        columns = " and ".join(map(str, widths))
        raise ConfigError(
            f"features of two domains must be comparable, but feature_file and ccdr_source_feature_file have {columns} "
            "columns"
        )
    return tables


def _source_table(config, dataset, source: Domain) -> np.ndarray:
    """Return the features [N, F] of a second dataset's items."""
    settings = feature_settings(config, source.name, config["ccdr_source_feature_file"])
    features = load_item_features(settings, source.item_tokens, dataset.fitted_to(source.name))
    dataset.keep_fitted(source.name, features.fitted)
    return features.table


def feature_settings(config, name: str, feature_file: str | None) -> dict:
    """Return the run's feature settings for another dataset, with its own feature file."""
    settings = {key: config[key] for key in FEATURE_KEYS}
    place = {"dataset": name, "data_path": str(Path(config.data_root) / name)}
    return {**settings, **place, "feature_file": feature_file}


def _encoded_together(config, dataset, domains: list[Domain]) -> list[np.ndarray]:
    """Encode all domains with an encoder that is fitted to the texts of all."""
    tokens = [joined_id(number, token) for number, one in enumerate(domains) for token in one.item_tokens]
    texts = [text for one in domains for text in texts_of(text_file(config.data_root, one.name), one.item_tokens)]
    name = "+".join(one.name for one in domains)
    item_text = ItemText(tokens, texts, text_file(config.data_root, domains[0].name))
    fitted = dataset.fitted_to(name)
    encoded = encode_texts(item_text, config, name, fitted)
    fitted = fitted or FittedText.fit(encoded, config["feature_center"], config["feature_scale"])
    dataset.keep_fitted(name, fitted)
    return np.split(fitted.apply(encoded), np.cumsum([one.item_num for one in domains])[:-1])
