"""Packed batches hold the same (history, target) pairs as RecBole's padded prefixes, in an order of their own."""

import random
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mpo.data.loader import HistoryLoader, PackedLoader
from recbole_mpo.data.sequences import Rows, rows_of_groups, training_windows


def flat_histories(lengths, seed=0):
    """Values and groups of histories of these lengths, with items from 1."""
    values = np.random.default_rng(seed).integers(1, 1000, sum(lengths))
    return values, np.repeat(np.arange(len(lengths)), lengths)


def loader_of(lengths, max_length=50, batch_size=64, seed=3, **options) -> PackedLoader:
    values, groups = flat_histories(lengths)
    ends, history = rows_of_groups(groups, max_length)
    windows = training_windows(Rows(groups[ends], ends, history), max_length)
    return PackedLoader(None, values, windows, batch_size, seed, **options)


def realistic_lengths(users=3000, seed=0):
    """Many short histories and a long tail, as in review data: 5 to 80 items, 8 on average."""
    draw = np.random.default_rng(seed)
    return np.minimum(5 + draw.geometric(0.3, users) + draw.geometric(0.05, users) * (draw.random(users) < 0.05), 80)


def prefixes(lengths, max_length):
    """(history, target) of every item but the first of each history, as a loop over prefixes gives them."""
    values, groups = flat_histories(lengths)
    pairs = Counter()
    for group in np.unique(groups):
        history = values[groups == group].tolist()
        pairs.update((tuple(history[max(0, end - max_length) : end]), history[end]) for end in range(1, len(history)))
    return pairs


def pairs_of(batch) -> Counter:
    """(what its state has seen, target) of every prediction of a batch."""
    items, positions = batch.items.flatten(), batch.positions.flatten()
    width = batch.items.shape[1]
    pairs = Counter()
    for index, target in zip(batch.predicting.tolist(), batch.targets.tolist(), strict=True):
        start = index - int(positions[index])
        assert start // width == index // width, "a history does not run over the end of its row"
        assert positions[start : index + 1].tolist() == list(range(index + 1 - start))
        pairs[tuple(items[start : index + 1].tolist()), target] += 1
    return pairs


def order_of(loader) -> list:
    return [batch.targets.tolist() for batch in loader]


@given(st.lists(st.integers(1, 11), min_size=1, max_size=30), st.integers(1, 40), st.booleans())
@settings(deadline=None)
def test_an_epoch_holds_every_prefix_and_its_target_once(lengths, batch_size, shuffle):
    if max(lengths) == 1:
        lengths = [*lengths, 2]
    loader = loader_of(lengths, max_length=10, batch_size=batch_size, shuffle=shuffle)
    pairs = Counter()
    for batch in loader:
        pairs += pairs_of(batch)
    assert pairs == prefixes(lengths, 10)


def test_histories_longer_than_a_window_lose_context_but_no_target():
    """Histories of distinct values, so that a target's place is known by its value."""
    lengths, max_length = [37, 12, 3], 10
    loader = loader_of(lengths, max_length, batch_size=16)
    loader.values = np.arange(1, sum(lengths) + 1)
    history_of = {target: history for batch in loader for history, target in pairs_of(batch)}
    begins = np.cumsum([0, *lengths])
    assert set(history_of) == set(loader.values.tolist()) - set((begins[:-1] + 1).tolist())
    for target, history in history_of.items():
        before = target - 1 - begins[begins < target].max()
        assert history == tuple(range(target - len(history), target))
        assert min(before, max_length // 2) <= len(history) <= max_length


def test_each_target_comes_with_the_user_of_its_history():
    """Also where a history is cut into several windows; the values are distinct, so that they tell the user."""
    lengths = [25, 4, 12, 3]
    loader = loader_of(lengths, 10, batch_size=7)
    loader.values = np.arange(sum(lengths))
    _, groups = flat_histories(lengths)
    for batch in loader:
        assert len(batch.users) == len(batch) and batch.users.tolist() == groups[batch.targets].tolist()


@pytest.mark.parametrize("batch_size", [64, 300, 2048])
def test_an_epoch_has_as_many_steps_as_single_rows_would_make(batch_size):
    lengths = realistic_lengths()
    targets = int(lengths.sum() - len(lengths))
    loader = loader_of(lengths, batch_size=batch_size)
    steps = -(-targets // batch_size)
    # A last step smaller than one history is swallowed by the step before it.
    assert len(loader) in (steps, steps - 1)
    sizes = [len(batch) for batch in loader]
    assert len(sizes) == len(loader)
    assert sum(sizes) == targets
    assert max(sizes) < batch_size + 50
    assert min(sizes[:-1]) > batch_size - 50


def test_whole_batches_are_counted_exactly_where_the_rest_is_larger_than_a_history():
    lengths = [6] * 1000  # 5,000 targets
    assert len(loader_of(lengths, batch_size=1024)) == 5
    assert len(loader_of(lengths, batch_size=2048)) == 3
    assert len(loader_of(lengths, batch_size=10_000)) == 1


def test_a_batch_smaller_than_a_history_still_predicts_everything():
    assert sum(len(batch) for batch in loader_of([40, 30, 20], batch_size=4)) == 87


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = realistic_lengths(200)
    loader = loader_of(lengths)
    first = order_of(loader)
    assert order_of(loader) == first, "iterating twice is no new epoch"
    loader.set_epoch(1)
    second = order_of(loader)
    assert second != first
    loader.set_epoch(0)
    assert order_of(loader) == first
    other = loader_of(lengths)
    other.set_epoch(1)
    assert order_of(other) == second
    assert order_of(loader_of(lengths, seed=4)) != first


def test_without_shuffling_every_epoch_keeps_the_order_of_the_histories():
    lengths = [4, 9, 2, 7]
    loader = loader_of(lengths, batch_size=1, shuffle=False)
    loader.set_epoch(5)
    values, groups = flat_histories(lengths)
    assert order_of(loader) == [values[groups == group][1:].tolist() for group in range(len(lengths))]


def test_nothing_is_drawn_from_the_global_generators():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1:3], random.getstate()
    loader = loader_of(realistic_lengths(200))
    loader.set_epoch(1)
    order_of(loader)
    assert torch.equal(torch.get_rng_state(), before[0])
    keys, position = np.random.get_state()[1:3]
    assert (keys == before[1][0]).all() and position == before[1][1]
    assert random.getstate() == before[2]


def padding_of(loader) -> float:
    items = torch.cat([batch.items.flatten() for batch in loader])
    return float((items == 0).float().mean())


def test_hardly_anything_is_padding_on_realistic_lengths():
    assert padding_of(loader_of(realistic_lengths(), batch_size=2048)) < 0.03


def test_hardly_anything_is_padding_on_scientific(shared_data, data):
    loader = data.open_dataset(shared_data, "Scientific").experiment.data.loaders[0]
    assert len(loader) == 17
    assert sum(len(batch) for batch in loader) == 34_101
    assert padding_of(loader) < 0.03


def test_an_abandoned_epoch_leaves_no_thread_behind():
    before = threading.active_count()
    batches = iter(loader_of(realistic_lengths(200)))
    next(batches)
    batches.close()
    assert threading.active_count() == before


# Whole histories


def rows_of_batch(batch) -> list[list[int]]:
    return [[item for item in row if item] for group in batch.groups for row in group.tolist()]


@pytest.mark.parametrize("longest", [None, 6, 2])
def test_history_batches_hold_every_window_once_with_its_newest_items(longest):
    lengths = realistic_lengths(50)
    packed = loader_of(lengths, max_length=12)
    loader = packed.of_histories(8, longest)
    values, windows = packed.values, packed.windows
    bounds = zip(windows.starts, windows.lengths, strict=True)
    whole = [values[start : start + length + 1].tolist() for start, length in bounds]
    expected = Counter(tuple(history if longest is None else history[-longest:]) for history in whole)
    batches = list(loader)
    assert Counter(tuple(row) for batch in batches for row in rows_of_batch(batch)) == expected
    assert [len(batch) for batch in batches] == [8] * (len(windows) // 8) + [len(windows) % 8] * (len(windows) % 8 > 0)
    assert len(loader) == len(batches)


def test_the_longest_a_history_may_be_is_an_argument():
    packed = loader_of([9, 5], max_length=20)
    settings = (None, packed.values, packed.windows, 2, 3)
    (whole,), (cut,) = HistoryLoader(*settings), HistoryLoader(*settings, longest=4)
    assert sorted(map(len, rows_of_batch(whole))) == [5, 9] and list(map(len, rows_of_batch(cut))) == [4, 4]


def test_history_batches_are_of_the_same_dataset_and_shuffle_alike():
    packed = loader_of(realistic_lengths(40), shuffle=False)
    loader = packed.of_histories(7, 50)
    assert not loader.pin_memory
    packed.pin_memory = True
    assert packed.of_histories(7, 50).pin_memory
    assert loader.dataset is packed.dataset and loader.seed == packed.seed and not loader.shuffle
    loader.set_epoch(3)
    first = packed.values[packed.windows.starts[0] : packed.windows.starts[0] + packed.windows.lengths[0] + 1]
    assert first.tolist() in rows_of_batch(next(iter(loader)))
