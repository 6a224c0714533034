"""Leave-one-out from numbers of interactions gives what it gives from rows."""

import numpy as np
import pytest

from recbole_mpo.data import shard_split
from recbole_mpo.data.sequences import Rows, leave_one_out, rows_of_groups
from recbole_mpo.data.sequences import training_windows as windows_of_rows
from recbole_mpo.data.shard_arrays import ShardArrays

LENGTH = 6


@pytest.fixture(params=[0, 1])
def arrays(request, monkeypatch):
    """Users with 1 to 30 interactions, dealt with a few at a time."""
    monkeypatch.setattr(shard_split, "USERS_AT_A_TIME", 7)
    monkeypatch.setattr(shard_split, "INTERACTIONS_AT_A_TIME", 20)
    draw = np.random.default_rng(request.param)
    sizes = np.append(draw.integers(1, 30, 40), [1, 2, 3, 4])
    users = np.cumsum(draw.integers(1, 3, len(sizes))).astype(np.int32)
    offsets = np.append(0, np.cumsum(sizes))
    return ShardArrays(draw.integers(1, 12, offsets[-1]).astype(np.int32), users, offsets)


def splits_of_rows(arrays) -> list[Rows]:
    """Train, valid and test as ordinary datasets make them."""
    users = np.repeat(arrays.users, arrays.sizes)
    ends, lengths = rows_of_groups(users, LENGTH)
    rows = Rows(users[ends], ends, lengths)
    return [rows[chosen] for chosen in leave_one_out(rows.users, 2)]


def as_list(rows):
    return sorted(zip(rows.users.tolist(), rows.ends.tolist(), rows.lengths.tolist(), strict=True))


def test_windows_are_those_of_the_rows(arrays):
    windows, expected = shard_split.training_windows(arrays, LENGTH), windows_of_rows(splits_of_rows(arrays)[0], LENGTH)
    for name in ("starts", "lengths", "targets", "users"):
        assert np.array_equal(getattr(windows, name), getattr(expected, name)), name
    assert sum(getattr(windows, name).itemsize for name in ("starts", "lengths", "targets", "users")) == 12
    assert windows.targets.sum() == shard_split.training_rows(arrays.sizes).sum()


@pytest.mark.parametrize(("split", "number"), [("valid", 1), ("test", 2)])
def test_evaluated_rows_are_those_of_the_rows(arrays, split, number):
    rows = shard_split.evaluated_rows(arrays, split, LENGTH)
    assert as_list(rows) == as_list(splits_of_rows(arrays)[number])
    assert (np.diff(rows.lengths) >= 0).all()


def test_counts_are_those_of_the_rows(arrays):
    targets, popularity = shard_split.training_counts(arrays, 12)
    rows = splits_of_rows(arrays)[0]
    assert np.array_equal(targets, np.bincount(arrays.items[rows.ends], minlength=12))
    inside = {place for end, length in zip(rows.ends, rows.lengths, strict=True) for place in (end, end - length)}
    assert np.array_equal(popularity, np.bincount(arrays.items[sorted(inside)], minlength=12))


def test_only_chosen_users_count(arrays):
    is_chosen = np.arange(len(arrays.users)) % 3 == 0
    chosen = set(arrays.users[is_chosen].tolist())
    windows = shard_split.training_windows(arrays, LENGTH, is_chosen)
    train, valid, _ = (rows[np.isin(rows.users, list(chosen))] for rows in splits_of_rows(arrays))
    assert windows.targets.sum() == len(train) and set(windows.users.tolist()) == set(train.users.tolist())
    assert as_list(shard_split.evaluated_rows(arrays, "valid", LENGTH, is_chosen)) == as_list(valid)
    targets, _ = shard_split.training_counts(arrays, 12, is_chosen)
    assert np.array_equal(targets, np.bincount(arrays.items[train.ends], minlength=12))


def test_a_part_without_users_has_nothing():
    nothing = ShardArrays(np.empty(0, np.int32), np.empty(0, np.int32), np.zeros(1, np.int64))
    assert len(shard_split.training_windows(nothing, 5)) == len(shard_split.evaluated_rows(nothing, "test", 5)) == 0
    assert shard_split.training_counts(nothing, 3)[1].tolist() == [0, 0, 0]
