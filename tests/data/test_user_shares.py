"""Training on a share of the users: nested, the same for all seeds, and everybody is evaluated."""

import numpy as np
import pytest
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.training_counts import training_popularity
from recbole_mpo.data.user_shares import rows_of_share
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
