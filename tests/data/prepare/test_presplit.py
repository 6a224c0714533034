"""Pre-split rows against a loop over histories, and the bounds of a split by time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.data.prepare.presplit import LONGEST, presplit_rows, temporal_bounds


def split_of(number, length):
    """Leave-one-out: the last item is test, the one before valid, but the first target always teaches."""
    after = length - 1 - number
    return "train" if number == 1 else {0: "test", 1: "valid"}.get(after, "train")


@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), st.sampled_from(["train", "valid", "test"]))
def test_every_target_but_the_first_item_has_one_row_the_longest_first(lengths, split):
    histories = [
        (f"u{user}", [f"i{user}.{place}" for place in range(length)], None) for user, length in enumerate(lengths)
    ]
    expected = [
        f"{user}\t{' '.join(items[max(0, end - LONGEST) : end])}\t{items[end]}"
        for user, items, _ in histories
        for end in range(len(items) - 1, 0, -1)
        if split_of(end, len(items)) == split
    ]
    assert list(presplit_rows(split, histories)) == expected


def test_a_split_by_time_asks_for_each_targets_own_time():
    histories = [("u", list("abcd"), np.array([1, 5, 6, 9])), ("v", list("xy"), np.array([0, 7]))]
    rows = {split: list(presplit_rows(split, histories, (6, 9))) for split in ("train", "valid", "test")}
    assert rows == {"train": ["u\ta\tb"], "valid": ["u\ta b\tc", "v\tx\ty"], "test": ["u\ta b c\td"]}


@pytest.mark.parametrize("ratios, bounds", [((0.8, 0.1, 0.1), (8, 9)), ((0.5, 0.25, 0.25), (5, 8))])
def test_bounds_leave_each_split_its_ratio(ratios, bounds):
    assert temporal_bounds(np.array([9, 3, 0, 1, 2, 8, 4, 5, 6, 7]), ratios) == bounds
