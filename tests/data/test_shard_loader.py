"""Batches of parts: every target once an epoch, and the same steps however the parts are dealt."""

import numpy as np
import pytest

from recbole_mpo.data.sequences import Windows
from recbole_mpo.data.shard_loader import ShardLoader, TrainingPart

SIZE = 20


def part(number, windows, seed=0) -> TrainingPart:
    """A part with items of its own, so that a batch's items say where they are from."""
    draw = np.random.default_rng((seed, number))
    lengths = draw.integers(1, 9, windows)
    starts = np.cumsum(lengths + 1) - lengths - 1
    values = (1000 * number + 1 + np.arange(int((lengths + 1).sum()))).astype(np.int32)
    fields = (starts.astype(np.uint32), lengths.astype(np.uint16), draw.integers(1, lengths + 1).astype(np.uint16))
    return TrainingPart(number, values, Windows(*fields, np.arange(windows, dtype=np.int32)))


@pytest.fixture
def parts():
    return [part(0, 60), part(1, 25), part(2, 0), part(3, 1)]


def loaders_of(parts, ranks, batch_size=SIZE, **settings):
    """Loaders of so many processes, whose counts are added up beforehand."""
    targets = sum(int(one.windows.targets.sum()) for one in parts)
    make = lambda own, **more: ShardLoader(None, own, targets, batch_size, 5, **settings, **more)  # noqa: E731
    totals = []
    make(parts, add_up=lambda counts: totals.append(counts) or counts).set_epoch(1)
    return [make(parts[rank::ranks], add_up=lambda _: totals[0]) for rank in range(ranks)]


def contents(loader, epoch=1):
    loader.set_epoch(epoch)
    return [sorted(batch.targets.tolist()) for batch in loader]


def expected_targets(parts):
    return sorted(
        int(one.values[start + length - back])
        for one in parts
        for start, length, targets in zip(one.windows.starts, one.windows.lengths, one.windows.targets, strict=True)
        for back in range(targets)
    )


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_target_comes_once_an_epoch(parts, shuffle):
    (loader,) = loaders_of(parts, 1, shuffle=shuffle)
    batches = contents(loader)
    assert sorted(sum(batches, [])) == expected_targets(parts)
    assert len(batches) == len(loader) == -(-len(expected_targets(parts)) // SIZE)
    sizes = list(map(len, batches))
    assert max(sizes) < 2 * SIZE and np.mean(sizes) > 0.8 * SIZE


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_steps_do_not_depend_on_who_has_which_part(parts, ranks):
    (alone,) = loaders_of(parts, 1)
    of_ranks = [contents(loader) for loader in loaders_of(parts, ranks)]
    assert {len(batches) for batches in of_ranks} == {len(contents(alone))}
    assert [sorted(sum(step, [])) for step in zip(*of_ranks, strict=True)] == contents(alone)


def test_sizes_are_those_of_all_windows(parts):
    (loader,) = loaders_of(parts, 1)
    loader.add_up = lambda counts: 2 * counts
    lengths = sum(int(one.windows.lengths.sum()) for one in parts)
    assert loader.sizes() == (2 * (60 + 25 + 0 + 1), 2 * len(expected_targets(parts)), 2 * lengths)


def test_without_an_epoch_batches_are_those_of_the_first(parts):
    first, second = loaders_of(parts, 1)[0], loaders_of(parts, 1)[0]
    assert [sorted(batch.targets.tolist()) for batch in first] == contents(second, 0)


def test_every_step_has_its_share_of_every_part(parts):
    (loader,) = loaders_of(parts, 1)
    shares = [np.mean([target < 1000 for target in batch]) for batch in contents(loader)]
    assert np.ptp(shares) < 0.6 and 0.4 < np.mean(shares) < 0.9


def test_an_order_is_a_function_of_seed_and_epoch(parts):
    first, second = loaders_of(parts, 1)[0], loaders_of(parts, 1)[0]
    assert contents(first, 3) == contents(second, 3) != contents(second, 4)


def test_a_batch_holds_the_histories_before_its_targets(parts):
    (loader,) = loaders_of(parts, 1)
    loader.set_epoch(0)
    for batch in loader:
        before = batch.items.flatten()[batch.predicting]
        assert (batch.targets == before + 1).all() and batch.items.dtype == batch.users.dtype == batch.targets.dtype


def test_steps_without_any_target_are_left_out():
    # Windows of 8 targets in steps of 2: three of four steps have none.
    lengths = np.full(10, 8, np.uint16)
    windows = Windows(np.arange(0, 90, 9, dtype=np.uint32), lengths, lengths, np.arange(10, dtype=np.int32))
    loader = ShardLoader(None, [TrainingPart(0, np.arange(1, 91, dtype=np.int32), windows)], 80, 2, 0)
    assert len(loader) == 40
    loader.set_epoch(0)
    assert len(loader) == 10 == len(list(loader))


def test_a_process_without_targets_has_empty_batches(parts):
    (loader,) = loaders_of(parts[2:3], 1)
    loader.add_up = lambda counts: np.ones_like(counts)
    loader.set_epoch(0)
    (batch,) = loader
    assert len(batch) == 0 and batch.items.shape == (0, 1) and batch.predicting.dtype == batch.targets.dtype
