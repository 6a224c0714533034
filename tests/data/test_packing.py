"""Runs in rows and lengths in buckets, against loops and brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mpo.data.packing import MAX_PADDING, bucket_edges, first_fit, similar_rows

# bucket_edges


def padded_size(lengths, edges) -> int:
    return int(edges[np.searchsorted(edges, lengths)].sum())


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.6]))
@settings(deadline=None)
def test_padding_stays_within_its_bound(lengths, max_padding):
    lengths = np.array(lengths)
    edges = bucket_edges(lengths, max_padding)
    assert edges.tolist() == sorted(set(edges.tolist()))
    assert edges[-1] == lengths.max()
    assert set(edges.tolist()) <= set(lengths.tolist())
    assert lengths.sum() >= padded_size(lengths, edges) * (1 - max_padding) - 1e-9


@given(st.lists(st.integers(1, 40), min_size=1, max_size=25), st.sampled_from([0.0, 0.05, 0.1, 0.3]))
@settings(deadline=None)
def test_no_fewer_buckets_would_do(lengths, max_padding):
    """Brute force: every choice of one bucket fewer, the largest length always among them, pads more."""
    lengths = np.array(lengths)
    sizes = np.unique(lengths)[:8]
    lengths = lengths[np.isin(lengths, sizes)]
    edges = bucket_edges(lengths, max_padding)
    for smaller in combinations(sizes[:-1], len(edges) - 2) if len(edges) > 1 else ():
        fewer = np.array([*smaller, sizes[-1]])
        assert padded_size(lengths, fewer) * (1 - max_padding) > lengths.sum()


def test_without_any_padding_each_length_is_its_own_bucket():
    assert bucket_edges(np.array([5, 2, 9, 2]), 0.0).tolist() == [2, 5, 9]


@pytest.mark.parametrize("length", [1, 50])
def test_one_length_is_one_bucket(length):
    assert bucket_edges(np.full(7, length)).tolist() == [length]


def test_no_lengths_give_no_buckets():
    edges = bucket_edges(np.array([], dtype=np.int64))
    assert len(edges) == 0 and edges.dtype == np.int64


# first_fit


def first_fit_by_loop(lengths, width) -> list[tuple[int, int]]:
    """First-fit decreasing as it is defined, run by run."""
    places, used = [None] * len(lengths), []
    for run in sorted(range(len(lengths)), key=lambda run: -lengths[run]):
        fitting = [row for row, taken in enumerate(used) if taken + lengths[run] <= width]
        row = fitting[0] if fitting else len(used)
        used += [] if fitting else [0]
        places[run] = (row, used[row])
        used[row] += lengths[run]
    return places


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40), st.integers(0, 10))
def test_first_fit_equals_a_loop(lengths, spare):
    width = max(lengths) + spare
    row, column = first_fit(np.array(lengths), width)
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == first_fit_by_loop(lengths, width)


# similar_rows


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.data())
def test_groups_hold_every_row_once_and_little_padding(lengths, data):
    lengths = np.array(lengths)
    rows = np.array(data.draw(st.lists(st.sampled_from(range(len(lengths))), min_size=1, unique=True)))
    groups = similar_rows(lengths, rows)
    assert sorted(np.concatenate(groups).tolist()) == sorted(rows.tolist())
    padded = sum(len(group) * lengths[group].max() for group in groups)
    assert padded * (1 - MAX_PADDING) <= lengths[rows].sum() + 1e-9
    longest = [lengths[group].max() for group in groups]
    assert all(lengths[later].min() > least for later, least in zip(groups[1:], longest, strict=False))


def test_rows_of_a_group_keep_their_order():
    lengths = np.array([9, 1, 9, 1, 9])
    assert [group.tolist() for group in similar_rows(lengths, np.array([4, 3, 0, 1]))] == [[3, 1], [4, 0]]
