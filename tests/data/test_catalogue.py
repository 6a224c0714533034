"""A catalogue stands for a dataset without any file: the same items and hash, no interactions, features of zeros."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.catalogue import Catalogue, hash_items, joined_blocks
from recbole_mpo.data.training_counts import training_interactions, training_popularity, training_transitions

TOKENS = ["[PAD]", "b", "a", "7"]


@pytest.fixture
def catalogue():
    return Catalogue(TOKENS, 5, "f" * 64)


def test_it_has_the_hash_of_the_dataset_with_these_items(data, tiny_path):
    dataset = data.open_dataset(tiny_path, "tiny").dataset
    tokens = dataset.field2id_token["item_id"]
    catalogue = Catalogue(tokens.tolist(), None, None, dataset.iid_field, dataset.uid_field)
    assert catalogue.item_hash == dataset.item_hash == hash_items(tokens)
    assert catalogue.item_num == dataset.item_num and catalogue.num("item_id") == dataset.num("item_id")
    assert catalogue.field2id_token["item_id"].tolist() == tokens.tolist()
    assert Catalogue([*tokens[:-2], tokens[-1], tokens[-2]], None, None).item_hash != dataset.item_hash


def test_fields_have_the_names_asked_for():
    catalogue = Catalogue(TOKENS, None, None, "asin", "uid")
    assert (catalogue.iid_field, catalogue.uid_field) == ("asin", "uid")
    assert catalogue.num("asin") == 4 and catalogue.num("uid") == 1 == catalogue.num("class")
    assert catalogue.inter_feat["asin"].shape == catalogue.inter_feat["uid"].shape == (0,)


def test_it_builds_what_models_build(catalogue):
    """As UniSRec does: an id table, a frozen table of features, a linear map of them, and counts of targets."""
    model = nn.Module()
    model.ids = nn.Embedding(catalogue.num(catalogue.iid_field), 2)
    model.register_buffer("item_features", catalogue.item_features(), persistent=False)
    model.map = nn.Linear(catalogue.item_features().shape[1], 3)
    assert model.map(model.item_features).shape == (4, 3)
    assert catalogue.feature_hash == "f" * 64
    counts = torch.bincount(catalogue.inter_feat[catalogue.iid_field], minlength=catalogue.item_num)
    assert counts.tolist() == [0, 0, 0, 0] and len(catalogue.inter_feat) == len(catalogue) == 0


def test_features_of_any_number_of_items_take_no_memory():
    features = Catalogue(["[PAD]", *map(str, range(100_000))], 10_000, None).item_features()
    assert features.shape == (100_001, 10_000) and features.dtype == torch.float32
    assert features.untyped_storage().nbytes() == 4 and not features[7].any()


def test_nothing_is_counted_in_it(catalogue):
    transitions = training_transitions(catalogue)
    assert transitions.shape == (4, 4) and transitions.nnz == 0
    popularity = training_popularity(catalogue)
    assert popularity.tolist() == [0, 0, 0, 0] and popularity.dtype == np.int32
    users, items = training_interactions(catalogue)
    assert len(users) == len(items) == len(catalogue.rows()) == len(catalogue.flat_items) == 0


def test_features_of_unknown_size_are_refused():
    with pytest.raises(DataError, match="does not say how many text features an item has"):
        Catalogue(TOKENS, None, None).item_features()


@pytest.mark.parametrize(
    "tokens, message",
    [
        ([], r"begin with \[PAD\], not with \[\]"),
        (["a", "[PAD]"], r"begin with \[PAD\], not with \['a'\]"),
        (["[PAD]", "a", "a"], "an item occurs twice"),
    ],
)
def test_items_must_be_those_of_a_checkpoint(tokens, message):
    with pytest.raises(DataError, match=message):
        Catalogue(tokens, None, None)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_tokens_are_joined_block_by_block(monkeypatch, count):
    monkeypatch.setattr("recbole_mpo.data.catalogue.TEXTS_AT_A_TIME", 2)
    tokens = [f"ü{number}" for number in range(count)]
    assert b"".join(joined_blocks(tokens)) == "\n".join(tokens).encode()
    assert hash_items(tokens) == hashlib.sha256("\n".join(tokens).encode()).hexdigest()


def test_a_catalogue_has_no_targets(catalogue):
    assert catalogue.target_counts().tolist() == [0, 0, 0, 0]
