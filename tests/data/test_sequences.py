"""Flat histories: padded views, rows and training windows against what a loop would do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset

from recbole_mpo.data.sequences import (
    Rows,
    Windows,
    cut,
    flatten_rows,
    gather_padded,
    join_rows,
    leave_one_out,
    lengths_of,
    positions_within,
    row_order,
    rows_of_groups,
    training_windows,
)

history_lengths = st.lists(st.integers(1, 30), min_size=1, max_size=8)
max_lengths = st.integers(1, 12)


def groups_of(lengths) -> np.ndarray:
    """[I] sequence numbers; not ascending, since only changes between neighbours matter."""
    return np.repeat(np.arange(len(lengths))[::-1] + 5, lengths)


def rows_of(lengths, max_length, chosen=None) -> Rows:
    """All rows of flat histories of these lengths, or those that ``chosen`` [R] marks."""
    groups = groups_of(lengths)
    ends, history = rows_of_groups(groups, max_length)
    chosen = np.ones(len(ends), dtype=bool) if chosen is None else np.resize(chosen, len(ends))
    return Rows(groups[ends][chosen], ends[chosen], history[chosen])


def predictions(windows: Windows) -> dict[int, int]:
    """Index of each predicted value, to the number of inputs its prediction sees; refuses a second prediction."""
    seen = {}
    for start, length, targets in zip(windows.starts, windows.lengths, windows.targets, strict=True):
        assert 1 <= targets <= length
        for position in range(length - targets, length):
            target = int(start + position + 1)
            assert target not in seen, "predicted twice"
            seen[target] = position + 1
    return seen


# gather_padded


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 7)), max_size=6))
@settings(deadline=None)
def test_gather_padded_equals_a_loop(views):
    values = np.arange(100, 127)
    starts, lengths = (np.array([view[side] for view in views], dtype=np.int64) for side in (0, 1))
    padded = gather_padded(values, starts, lengths)
    assert padded.shape == (len(views), max((length for _, length in views), default=0))
    for row, (start, length) in zip(padded, views, strict=True):
        assert row.tolist() == values[start : start + length].tolist() + [0] * (padded.shape[1] - length)


def test_gather_padded_takes_views_that_end_with_the_values():
    """The padding of a short view beside a long one must not be looked up beyond the array."""
    padded = gather_padded(np.array([7, 8, 9]), np.array([2, 0]), np.array([1, 3]))
    assert padded.tolist() == [[9, 0, 0], [7, 8, 9]]


# cut, lengths_of


@given(st.lists(st.integers(0, 5), max_size=8))
def test_cut_gives_views_of_the_lengths_asked_for(lengths):
    values = np.arange(sum(lengths))
    views = cut(values, np.array(lengths, dtype=np.int64))
    assert lengths_of(views).tolist() == lengths
    assert [value for view in views for value in view.tolist()] == values.tolist()
    assert all(np.shares_memory(view, values) for view in views if len(view))


# rows_of_groups


@given(history_lengths, max_lengths)
@settings(deadline=None)
def test_rows_of_groups_equals_a_loop(lengths, max_length):
    expected, first = [], 0
    for length in lengths:
        expected += [(first + step, min(step, max_length)) for step in range(1, length)]
        first += length
    ends, history = rows_of_groups(groups_of(lengths), max_length)
    assert list(zip(ends.tolist(), history.tolist(), strict=True)) == expected


def test_no_interactions_give_no_rows():
    ends, history = rows_of_groups(np.array([], dtype=np.int64), 5)
    assert len(ends) == len(history) == 0


# join_rows


user_rows = st.tuples(st.integers(0, 2), st.lists(st.integers(1, 3), max_size=4), st.integers(1, 3))


@given(st.lists(user_rows, max_size=12))
def test_joined_rows_keep_their_history_and_target(rows):
    """Few users and items, so that rows often continue one another by chance."""
    rows.sort(key=lambda row: row[0])
    users = np.array([user for user, _, _ in rows], dtype=np.int64)
    lengths = lengths_of([history for _, history, _ in rows])
    values = np.array([item for _, history, target in rows for item in (*history, target)], dtype=np.int64)
    joined, ends = join_rows(users, values, lengths)
    assert len(joined) <= len(values)
    for (_, history, target), end in zip(rows, ends.tolist(), strict=True):
        assert joined[end - len(history) : end + 1].tolist() == [*history, target]


@pytest.mark.parametrize("max_length", [3, 100])
def test_the_rows_of_one_history_are_joined_into_it(max_length):
    """Prefixes of 1..10 and of 21..25, cut to the newest items or not."""
    histories = [list(range(1, 11)), list(range(21, 26))]
    rows = [items[max(0, end - max_length - 1) : end] for items in histories for end in range(2, len(items) + 1)]
    lengths = lengths_of(rows) - 1
    users = np.repeat([5, 2], [9, 4])
    joined, ends = join_rows(users, np.concatenate(rows), lengths)
    assert joined.tolist() == [*histories[0], *histories[1]]
    assert ends.tolist() == [*range(1, 10), *range(11, 15)]


# leave_one_out


@given(st.lists(st.integers(0, 6), max_size=30), st.sampled_from([1, 2]))
def test_leave_one_out_is_recboles(groups, held_out):
    """The same rows in the same order, groups of one and two rows among them."""
    expected = Dataset._split_index_by_leave_one_out(None, Dataset._grouped_index(None, groups), held_out)
    parts = leave_one_out(np.array(groups, dtype=np.int64), held_out)
    assert [part.tolist() for part in parts] == expected


# training_windows


@given(history_lengths, max_lengths, st.lists(st.booleans(), min_size=1, max_size=20))
@settings(deadline=None, max_examples=300)
def test_every_target_is_predicted_once_from_the_items_just_before_it(lengths, max_length, chosen):
    """Also where rows are missing between others. Windows hold at most L items and none of another history.

    Each prediction sees at least half of L items, or its row's whole history where that is shorter.
    """
    rows = rows_of(lengths, max_length, chosen)
    windows = training_windows(rows, max_length)
    assert (windows.lengths <= max_length).all()
    context = predictions(windows)
    assert sorted(context) == sorted(rows.ends.tolist())
    groups = groups_of(lengths)
    assert windows.users.tolist() == groups[windows.starts].tolist()
    for end, history in zip(rows.ends.tolist(), rows.lengths.tolist(), strict=True):
        # Its inputs are values[end - context : end]: the newest, and as many as the model would see, or half.
        assert min(history, max_length // 2) <= context[end] <= history
        assert len(set(groups[end - context[end] : end + 1])) == 1


@given(st.lists(st.integers(2, 9), min_size=1, max_size=8), st.integers(8, 12))
@settings(deadline=None)
def test_short_histories_are_one_window_each_with_full_context(lengths, max_length):
    """Of at most L+1 items: L inputs, and a last item that is only a target."""
    rows = rows_of(lengths, max_length)
    windows = training_windows(rows, max_length)
    assert len(windows) == len(lengths)
    assert windows.targets.tolist() == windows.lengths.tolist() == [length - 1 for length in lengths]
    assert [predictions(windows)[end] for end in rows.ends.tolist()] == rows.lengths.tolist()


def test_a_history_of_two_items_too_many_is_cut_into_two_windows():
    """L = 4: items 0..5. The second window starts half a window later and predicts what the first did not."""
    windows = training_windows(rows_of([6], 4), 4)
    assert windows.starts.tolist() == [0, 2]
    assert windows.lengths.tolist() == [4, 3]
    assert windows.targets.tolist() == [4, 1]


@given(history_lengths, max_lengths, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_rows_does_not_matter(lengths, max_length, random):
    rows = rows_of(lengths, max_length)
    order = np.array(random.sample(range(len(rows)), len(rows)), dtype=np.int64)
    shuffled = Rows(rows.users[order], rows.ends[order], rows.lengths[order])
    one, other = training_windows(rows, max_length), training_windows(shuffled, max_length)
    for field in ("starts", "lengths", "targets", "users"):
        assert getattr(one, field).tolist() == getattr(other, field).tolist()


def test_a_gap_starts_a_new_window_that_predicts_only_its_own_rows():
    """Of the rows 1..6 of one history, row 4 is missing (held out, say): item 4 is input but no target."""
    rows = rows_of([7], 10, [True, True, True, False, True, True])
    windows = training_windows(rows, 10)
    assert windows.starts.tolist() == [0, 0]
    assert windows.lengths.tolist() == [3, 6]
    assert windows.targets.tolist() == [3, 2]
    assert predictions(windows) == {1: 1, 2: 2, 3: 3, 5: 5, 6: 6}


def test_neighbouring_rows_whose_histories_do_not_continue_are_separate_windows():
    """Rows [a] -> b and [b] -> c of one user: c's row saw b alone, so it may not see a."""
    rows = Rows(np.array([1, 1]), np.array([1, 2]), np.array([1, 1]))
    assert predictions(training_windows(rows, 10)) == {1: 1, 2: 1}
    assert len(training_windows(rows, 10)) == 2


def test_neighbouring_rows_of_two_users_are_separate_windows():
    rows = Rows(np.array([1, 2]), np.array([1, 2]), np.array([1, 2]))
    windows = training_windows(rows, 10)
    assert windows.targets.tolist() == [1, 1] and windows.users.tolist() == [1, 2]


def test_chosen_windows_keep_their_user():
    windows = Windows(*(np.array(part) for part in ([0, 4, 9], [3, 2, 5], [3, 1, 5], [7, 7, 8])))
    chosen = windows[np.array([2, 0])]
    assert [getattr(chosen, name).tolist() for name in Windows.__annotations__] == [[9, 0], [5, 3], [5, 3], [8, 7]]
    assert len(windows[np.array([False, True, False])]) == 1


# Rows


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), max_size=20, unique=True))
def test_the_last_rows_are_those_of_the_newest_target_of_each_user(pairs):
    users, ends = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    rows = Rows(users, ends, np.ones_like(ends))
    last = {user: max(end for other, end in pairs if other == user) for user, _ in pairs}
    assert rows.are_last().tolist() == [end == last[user] for user, end in pairs]
    kept = rows[~rows.are_last()]
    assert list(zip(kept.users, kept.ends, strict=True)) == [pair for pair in pairs if pair[1] != last[pair[0]]]
    assert len(kept.lengths) == len(kept)


def test_no_rows_give_no_windows():
    none = np.array([], dtype=np.int64)
    assert len(training_windows(Rows(none, none, none), 5)) == 0


# positions_within


def test_positions_within_runs():
    run, position = positions_within(np.array([2, 0, 3]))
    assert run.tolist() == [0, 0, 2, 2, 2]
    assert position.tolist() == [0, 1, 0, 1, 2]


# row_order, flatten_rows


@pytest.mark.parametrize("counts_down", [True, False])
def test_rows_of_equal_length_follow_the_direction_of_the_file(counts_down):
    """Two users, cut to three items, as official files list them: the longest first, or the other way round."""
    lengths = np.array([3, 3, 3, 2, 1, 3, 2, 1])
    users = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    if not counts_down:
        lengths, users = lengths[::-1], users[::-1]
    order = row_order(users, np.zeros(8, dtype=np.int64), lengths)
    expected = [4, 3, 2, 1, 0, 7, 6, 5]
    assert order.tolist() == (expected if counts_down else [7 - row for row in expected])


def test_rows_stand_by_user_split_and_length():
    users, splits, lengths = np.array([1, 0, 0, 1]), np.array([0, 1, 0, 2]), np.array([5, 2, 1, 1])
    assert row_order(users, splits, lengths).tolist() == [2, 1, 0, 3]


@given(st.lists(st.lists(st.integers(1, 9), min_size=4, max_size=12), min_size=1, max_size=4), st.integers(1, 5))
def test_flattened_rows_are_the_histories_they_were_made_of(histories, max_length):
    """Train, valid and test rows as official files have them come back, and each row finds its history."""
    rows = [
        (user, min(max(0, end - len(items) + 3), 2), items[max(0, end - max_length) : end], items[end])
        for user, items in enumerate(histories)
        for end in range(len(items) - 1, 0, -1)
    ]
    users, splits, targets = (np.array([row[place] for row in rows]) for place in (0, 1, 3))
    lists = np.empty(len(rows), dtype=object)
    lists[:] = [np.array(row[2]) for row in rows]
    order, values, ends = flatten_rows(users, splits, lists, targets)
    assert sorted(order.tolist()) == list(range(len(rows)))
    for row, end in zip(order.tolist(), ends.tolist(), strict=True):
        assert values[end - len(rows[row][2]) : end + 1].tolist() == [*rows[row][2], rows[row][3]]
