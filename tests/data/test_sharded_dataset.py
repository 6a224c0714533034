"""A sharded dataset has the items, splits and counts of the text file of the same interactions."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from sharded import shard_dataset
from support import built_run

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.sequences import training_windows


@pytest.fixture
def built(tiny_settings, tiny_path):
    """A run on the text file and one on the shards, of these settings."""
    shard_dataset(tiny_path, parts=3)

    def build(**settings):
        return [built_run("UniSRec", name, (), {**tiny_settings, **settings}) for name in ("tiny", "shards")]

    return build


def targets_of(values, windows):
    """(user, target) of each position that predicts."""
    pairs = []
    for number in range(len(windows)):
        end = int(windows.starts[number]) + int(windows.lengths[number]) + 1
        begin = end - int(windows.targets[number])
        pairs += [(int(windows.users[number]), item) for item in values[begin:end].tolist()]
    return pairs


@pytest.mark.parametrize("settings", [{}, {"train_users": 0.4, "MAX_ITEM_LIST_LENGTH": 4}])
def test_training_targets_are_those_of_the_text_file(built, settings):
    text, shards = built(**settings)
    train, dataset = text.splits[0], shards.splits[0]
    expected = targets_of(train.flat_items, training_windows(train.rows(), text.config["MAX_ITEM_LIST_LENGTH"]))
    found = [targets_of(one.items, dataset.windows(number)) for number, one in enumerate(dataset.parts)]
    assert sorted(sum(found, [])) == sorted(expected) and len(dataset) == len(train) == len(expected)
    assert dataset.training_targets() == list(map(len, found))
    assert torch.equal(dataset.target_counts(), train.target_counts())
    assert np.array_equal(dataset.target_popularity(), train.target_popularity())


def test_evaluated_users_are_those_of_the_text_file(built):
    text, shards = built(train_users=0.5, eval_users=0.3)
    for split in (1, 2):
        users = set(text.splits[split].inter_feat["user_id"].tolist())
        rows = [shards.dataset.evaluated(part, ("train", "valid", "test")[split]) for part in range(3)]
        assert set(np.concatenate([one.users for one in rows]).tolist()) == users and len(users) == 12
    trained = {user for part in range(3) for user in shards.dataset.windows(part).users.tolist()}
    assert len(trained) == 20 and not trained & users
    assert shards.experiment.statistics()["test_pairs"] == text.experiment.statistics()["test_pairs"]


def test_a_user_in_two_parts_is_refused(built, tiny_path):
    path = tiny_path / "shards" / "shards.shards" / "manifest.json"
    content = json.loads(path.read_text())
    tables = [parquet.read_table(path.parent / part["file"]).to_pydict() for part in content["parts"]]
    number, part = next(pair for pair in enumerate(content["parts"]) if tables[pair[0]]["user"][0] != 0)
    users = np.array(tables[number]["user"])
    # The smallest, so that the rows stay sorted.
    users[users == users[0]] = 0
    parquet.write_table(pa.table({**tables[number], "user": users}), path.parent / part["file"])
    part["sha256"] = file_hash(path.parent / part["file"])
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="user 0 is in another part too: prepare the dataset again"):
        built()[1].dataset  # noqa: B018 - reading it builds it


def test_a_share_of_less_than_one_user_is_refused(built):
    with pytest.raises(DataError, match="eval_users=0.01 of shards is less than one user"):
        built(eval_users=0.01)[1].dataset  # noqa: B018 - reading it builds it


def test_items_and_features_are_those_of_the_text_file(built):
    text, shards = (run.dataset for run in built())
    assert shards.field2id_token["item_id"].tolist() == text.field2id_token["item_id"].tolist()
    assert (shards.item_hash, shards.item_num) == (text.item_hash, text.item_num)
    assert all(shards.num(field) == text.num(field) for field in ("item_id", "user_id"))
    assert torch.equal(shards.item_features(), text.item_features()) and shards.feature_hash == text.feature_hash
    assert shards.item_texts() == text.item_texts()


def test_a_cache_is_used_again(built, tiny_path):
    _, shards = built()
    first = shards.dataset.target_counts()
    for path in (tiny_path / "shards" / "shards.shards").glob("part-*"):
        path.unlink()
    _, again = built()
    assert torch.equal(again.dataset.target_counts(), first)


def test_users_with_one_interaction_are_counted_in_a_warning(tiny_settings, tiny_path, caplog):
    with open(tiny_path / "tiny" / "tiny.inter", "a") as file:
        file.write("single\ti3\t1700000000\n")
    shard_dataset(tiny_path)
    dataset = built_run("UniSRec", "shards", (), tiny_settings).dataset
    assert dataset.manifest.users == 41
    assert "1 of 41 users have only one interaction" in caplog.text
