"""Several datasets as one training part: what a joined dataset would hold, and a few users held out."""

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.mixture import MixedFeatures, Mixture
from recbole_mpo.data.prepare.joined_domains import prepare_domains
from recbole_mpo.data.sequences import training_windows
from recbole_mpo.text.alignment import AlignmentReport
from recbole_mpo.text.fitted_text import FittedBlock, FittedText
from recbole_mpo.text.standardising import Standardising

NAMES = ["tiny", "other"]
MEAN = Standardising(np.ones(3, dtype=np.float32), None)


@pytest.fixture
def histories(tiny_path, make_dataset):
    make_dataset(tiny_path, "other", users=25, items=20, seed=1)
    return [read_dataset_histories(tiny_path, name) for name in NAMES]


def features(fitted=None):
    tables = [np.zeros((31, 3), dtype=np.float32), np.zeros((21, 3), dtype=np.float32)]
    for number, table in enumerate(tables, start=1):
        table[1:] = number * np.arange(1, len(table))[:, None]
    kept = fitted or {name: FittedText((FittedBlock(MEAN),)) for name in NAMES}
    reports = [AlignmentReport(30, 30, 0, 0, 1, 2), AlignmentReport(20, 19, 1, 0, 0)]
    return MixedFeatures(np.concatenate([tables[0], tables[1][1:]]), kept, "made up", reports)


@pytest.fixture
def make(histories):
    def build(held_out=3, max_length=50, load=features, names=NAMES):
        return Mixture(names, histories[: len(names)], load, max_length, held_out)

    return build


def named_histories(mixture) -> dict[str, list[str]]:
    """Items of each user that is trained on, by token."""
    rows, users = mixture.rows(), mixture.field2id_token["user_id"]
    items = mixture.field2id_token["item_id"]
    last = dict(zip(rows.users.tolist(), zip(rows.ends.tolist(), rows.lengths.tolist(), strict=True), strict=True))
    return {
        str(users[user]): [str(items[item]) for item in mixture.flat_items[end - length : end + 1]]
        for user, (end, length) in last.items()
    }


def test_it_holds_what_the_joined_dataset_holds(make, tiny_path):
    """The oracle is the dataset that ``prepare --domains`` writes."""
    prepare_domains("joined", NAMES, tiny_path)
    joined = read_dataset_histories(tiny_path, "joined")
    mixture = make(held_out=0)
    assert set(mixture.field2id_token["item_id"][1:]) == set(joined.item_tokens)
    expected = {
        str(joined.user_tokens[user]): [str(joined.item_tokens[item]) for item in joined.items[joined.users == user]]
        for user in range(len(joined.user_tokens))
    }
    assert named_histories(mixture) == expected
    assert len(mixture.held_out) == 0 and len(mixture) == len(joined.items) - len(joined.user_tokens)


def test_held_out_users_are_not_trained_on_and_keep_their_last_item_as_target(make, histories):
    mixture = make(held_out=2)
    trained = named_histories(mixture)
    assert [len(one) for one in mixture.held_out] == [2, 2] and len(mixture.held_out) == 4
    assert len(trained) == 40 + 25 - 4
    for number, (one, source) in enumerate(zip(mixture.held_out, histories, strict=True)):
        names = source.item_tokens
        left_out = set()
        for history, length, target in zip(one.histories, one.lengths, one.targets, strict=True):
            items = [names[item - 1] for item in [*history[:length].tolist(), target.item()]]
            (user,) = [
                source.user_tokens[user]
                for user in range(len(source.user_tokens))
                if [str(names[item]) for item in source.items[source.users == user]] == list(map(str, items))
            ]
            assert f"{number}-{user}" not in trained and not history[length:].any()
            left_out.add(str(user))
        assert len(left_out) == 2


def test_items_of_a_domain_lie_together_with_pad_in_front(make):
    first, second = make().held_out
    assert first.items.tolist() == list(range(31)) and second.items.tolist() == [0, *range(31, 51)]
    assert (first.item_num, second.item_num) == (31, 21)


def test_the_same_users_are_held_out_whatever_else_is_mixed(make):
    alone, together = make(names=["tiny"]).held_out, make().held_out
    for one, other in zip(alone, together, strict=False):
        assert torch.equal(one.targets, other.targets) and torch.equal(one.histories, other.histories)


def test_at_most_a_tenth_is_held_out(make):
    assert [len(one) for one in make(held_out=1000).held_out] == [4, 2]


def test_long_histories_are_cut_to_the_newest_items(make):
    whole, cut = make(), make(max_length=3)
    assert cut.rows().lengths.max() == 3 and len(cut) == len(whole)
    assert all(one.histories.shape[1] == 3 for one in cut.held_out)
    windows = training_windows(cut.rows(), 3)
    assert windows.targets.sum() == len(cut)


def test_features_stand_in_the_order_of_the_items_and_are_loaded_once(make):
    loads = []

    def load(fitted):
        loads.append(dict(fitted))
        return features(fitted)

    mixture = make(load=load)
    table = mixture.item_features()
    assert table.shape == (51, 3) and not table[0].any()
    assert table[30].tolist() == [30] * 3 and table[31].tolist() == [2] * 3
    assert mixture.feature_sketch.shape == (51, 2) and len(mixture.feature_hash) == 64
    assert loads == [{}] and mixture.fitted_text["tiny"]["mean"].tolist() == [1, 1, 1]


def test_features_are_made_with_what_an_earlier_run_fitted(make):
    stored = make().fitted_text
    seen = {}
    mixture = make(load=lambda fitted: seen.update(fitted) or features(fitted))
    mixture.use_fitted_text(stored)
    assert mixture.fitted_text.keys() == stored.keys() == seen.keys()


def test_the_summary_adds_up_the_domains():
    summary = features().summary()
    assert (summary["items"], summary["with_text"], summary["missing_text"]) == (50, 49, 1)
    assert summary["duplicate_texts"] == 2 and summary["dimension"] == 3 and summary["source"] == "made up"


def test_nothing_to_train_on_is_refused(make):
    with pytest.raises(DataError, match="at least one domain"):
        make(names=[])
    single = Histories(np.arange(2), np.arange(2), np.arange(2), np.array(["u", "v"]), np.array(["a", "b"]))
    with pytest.raises(DataError, match="no user of shop has two interactions"):
        Mixture(["shop"], [single], features, 50, 1)
