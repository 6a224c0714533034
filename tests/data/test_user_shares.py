"""Training on a share of the users: nested, the same for all seeds; everybody is evaluated, or others than these."""

import numpy as np
import pytest
from support import built_run

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.training_counts import training_popularity
from recbole_mpo.data.user_shares import rows_of_share, users_of_other_end
from recbole_mpo.quick_start.recorded_run import run

USERS = np.repeat(np.arange(1, 41), np.random.default_rng(0).integers(1, 5, 40))


def test_shares_are_nested_and_have_all_rows_of_their_users():
    shares = [rows_of_share(USERS, share) for share in (0.05, 0.1, 0.5, 1.0)]
    assert [len(np.unique(USERS[rows])) for rows in shares] == [2, 4, 20, 40]
    for smaller, larger in zip(shares[:-1], shares[1:], strict=True):
        assert set(smaller) < set(larger)
    for rows in shares:
        assert np.isin(USERS, USERS[rows]).sum() == len(rows) and np.all(np.diff(rows) > 0)


def test_one_user_is_chosen_at_least():
    assert len(np.unique(USERS[rows_of_share(USERS, 1e-6)])) == 1


@pytest.fixture
def few(tiny_settings):
    return {**tiny_settings, "train_users": 0.25}


def test_training_sees_the_share_and_evaluation_everybody(few, tiny_settings):
    part, whole = (built_run("MPORec", "tiny", (), settings) for settings in (few, tiny_settings))
    users = [set(one.splits[0].rows().users) for one in (part, whole)]
    assert len(users[0]) == 10 and users[0] < users[1]
    assert [len(split) for split in part.splits[1:]] == [len(split) for split in whole.splits[1:]]
    assert part.dataset.item_num == whole.dataset.item_num
    assert set(np.concatenate([batch.targets.numpy() for batch in part.loaders[0]])) <= set(
        part.splits[0].inter_feat["item_id"].tolist()
    )
    assert training_popularity(part.splits[0]).sum() < training_popularity(whole.splits[0]).sum()


def test_the_share_is_the_same_for_all_seeds(few):
    rows = [built_run("MPORec", "tiny", (), {**few, "seed": seed}).splits[0].rows().ends for seed in (1, 2)]
    assert np.array_equal(*rows)


@pytest.mark.parametrize("model", ["CoVisit", "UniSRec"])
def test_the_label_of_a_run_says_it(few, model):
    settings = {key: value for key, value in few.items() if model == "UniSRec" or key in ("data_path", "train_users")}
    record = run(model, "tiny", (), {**settings, "checkpoint_dir": "saved"}, dry_run=True)
    assert record["label"] == f"{model} (25 % of users)" and record["data"]["targets"]["valid"] == 40


def test_padded_rows_and_domains_have_no_share(few):
    with pytest.raises(ConfigError, match="train_users needs train_mode=packed"):
        built_run("MPORec", "tiny", (), {**few, "train_mode": "pairwise"})
    with pytest.raises(ConfigError, match="train_users is for runs on one dataset"):
        built_run("UniSRec", "tiny", (), {**few, "domains": ["tiny"]})


@pytest.mark.parametrize("count", [5, 7, 40, 99])
@pytest.mark.parametrize("share", [0.01, 0.29, 0.3, 0.5, 0.9])
def test_the_other_end_is_never_trained_on(count, share):
    users = np.arange(count)
    last = set(users_of_other_end(users, share))
    assert len(last) == int(share * 100 * count) // 100
    if round((1 - share) * count) >= 1:
        assert last.isdisjoint(rows_of_share(users, 1 - share))
    assert last <= set(users_of_other_end(users, min(1.0, share + 0.1)))


def test_other_users_are_evaluated_than_trained_on(few, tiny_settings):
    part, whole = (
        built_run("MPORec", "tiny", (), settings) for settings in ({**few, "eval_users": 0.5}, tiny_settings)
    )
    trained, *evaluated = (set(split.rows().users.tolist()) for split in part.splits)
    assert evaluated[0] == evaluated[1] and len(evaluated[0]) == 20 and trained.isdisjoint(evaluated[0])
    for one, every in zip(part.splits[1:], whole.splits[1:], strict=True):
        ends = dict(zip(every.rows().users.tolist(), every.rows().ends.tolist(), strict=True))
        assert all(ends[user] == end for user, end in zip(one.rows().users, one.rows().ends, strict=True))


def test_the_record_says_who_was_evaluated(few, tiny_settings):
    options = {"dry_run": True}
    half, all_users = (
        run("UniSRec", "tiny", (), {**few, "eval_users": share}, **options)["data"] for share in (0.5, 1.0)
    )
    assert (half["targets"]["valid"], half["targets"]["test"]) == (20, 20)
    assert half["test_pairs"] != all_users["test_pairs"]


def test_who_is_evaluated_needs_packed_rows_one_dataset_and_a_user(few):
    with pytest.raises(ConfigError, match="eval_users needs train_mode=packed"):
        built_run("MPORec", "tiny", (), {**few, "train_users": 1, "eval_users": 0.5, "train_mode": "pairwise"})
    with pytest.raises(ConfigError, match="eval_users is for runs on one dataset"):
        built_run("UniSRec", "tiny", (), {**few, "train_users": 1, "eval_users": 0.5, "domains": ["tiny"]})
    with pytest.raises(DataError, match="eval_users=0.001 of tiny is less than one user"):
        _ = built_run("UniSRec", "tiny", (), {**few, "eval_users": 0.001}).splits
