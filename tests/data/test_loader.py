"""Packed batches hold the same (history, target) pairs as RecBole's padded prefixes, in an order of their own."""

import random
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mpo.data.batches import pack, pack_histories
from recbole_mpo.data.loader import PackedLoader
from recbole_mpo.data.sequences import Rows, Windows, rows_of_groups, training_windows
from recbole_mpo.quick_start.experiment import Experiment


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
    found = Counter()
    for batch in loader:
        found += pairs_of(batch)
    assert found == prefixes(lengths, 10)


def test_histories_longer_than_a_window_lose_context_but_no_target():
    """Histories of distinct values, so that a target's place is known by its value."""
    lengths, max_length = [37, 12, 3], 10
    loader = loader_of(lengths, max_length, batch_size=16)
    loader.values = np.arange(1, sum(lengths) + 1)
    found = {target: history for batch in loader for history, target in pairs_of(batch)}
    begins = np.cumsum([0, *lengths])
    assert set(found) == set(loader.values.tolist()) - set((begins[:-1] + 1).tolist())
    for target, history in found.items():
        before = target - 1 - begins[begins < target].max()
        assert history == tuple(range(target - len(history), target))
        assert min(before, max_length // 2) <= len(history) <= max_length


def test_a_batch_by_hand():
    """Windows of the values 1..9: 6 7, of which only the last predicts; 1 2 3; and 8, which fits beside 6 7."""
    windows = Windows(np.array([5, 0, 7]), np.array([2, 3, 1]), np.array([1, 3, 1]))
    batch = pack(np.arange(1, 10), windows)
    assert batch.items.tolist() == [[1, 2, 3], [6, 7, 8]]
    assert batch.positions.tolist() == [[0, 1, 2], [0, 1, 0]]
    assert batch.predicting.tolist() == [4, 0, 1, 2, 5]
    assert batch.targets.tolist() == [8, 2, 3, 4, 9]
    assert len(batch) == 5


def test_packed_histories_predict_from_their_last_items_in_the_order_of_the_rows():
    padded = np.array([[5, 0, 0, 0], [1, 2, 3, 4], [6, 7, 8, 0]])
    batch = pack_histories(padded, np.array([1, 4, 3]))
    assert batch.items.tolist() == [[1, 2, 3, 4], [6, 7, 8, 5]]
    assert batch.positions.tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch.items.flatten()[batch.predicting].tolist() == [5, 4, 8]
    assert len(batch) == 3


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


def test_hardly_anything_is_padding_on_scientific(shared_data):
    overrides = {"data_path": str(shared_data), "item_input": "id", "use_gpu": False}
    experiment = Experiment.of("MPORec", "Scientific", (), overrides)
    loader = experiment.loaders[0]
    assert len(loader) == 17
    assert sum(len(batch) for batch in loader) == 34_101
    assert padding_of(loader) < 0.03


def test_an_abandoned_epoch_leaves_no_thread_behind():
    before = threading.active_count()
    batches = iter(loader_of(realistic_lengths(200)))
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_to_moves_every_tensor():
    batch = next(iter(loader_of([5, 6, 7])))
    moved = batch.to("meta")
    tensors = (moved.items, moved.positions, moved.predicting, moved.targets)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert batch.items.device.type == "cpu"
    assert torch.equal(batch.to("cpu").targets, batch.targets)


def test_ids_are_int64_whatever_the_values_are():
    windows = Windows(np.array([0]), np.array([2]), np.array([2]))
    batch = pack(np.array([1, 2, 3], dtype=np.int32), windows)
    assert {batch.items.dtype, batch.positions.dtype, batch.predicting.dtype, batch.targets.dtype} == {torch.int64}
