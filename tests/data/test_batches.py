"""Batches by hand: what stands where, what predicts, and what follows a batch to another device."""

import numpy as np
import pytest
import torch

from recbole_mpo.data.batches import HistoryBatch, pack, pack_histories
from recbole_mpo.data.sequences import Windows


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


def test_to_moves_every_tensor():
    batch = pack(np.arange(1, 19), Windows(np.array([0, 5, 11]), np.array([4, 5, 6]), np.array([4, 5, 6])))
    moved = batch.to("meta")
    tensors = (moved.items, moved.positions, moved.predicting, moved.targets)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert batch.items.device.type == "cpu"
    assert torch.equal(batch.to("cpu").targets, batch.targets)


def test_ids_are_int64_whatever_the_values_are():
    windows = Windows(np.array([0]), np.array([2]), np.array([2]))
    batch = pack(np.array([1, 2, 3], dtype=np.int32), windows)
    assert {batch.items.dtype, batch.positions.dtype, batch.predicting.dtype, batch.targets.dtype} == {torch.int64}


def test_the_newest_items_end_with_the_one_that_predicts():
    """Windows 1 2 3 4 and 5 6, of which all positions predict."""
    batch = pack(np.arange(1, 9), Windows(np.array([0, 4]), np.array([4, 2]), np.array([4, 2])))
    items, is_there = batch.newest_items(3)
    newest = [row[there].tolist() for row, there in zip(items, is_there, strict=True)]
    assert newest == [[1], [2, 1], [3, 2, 1], [4, 3, 2], [5], [6, 5]]


def test_newest_items_may_be_more_than_the_batch_has():
    batch = pack(np.arange(1, 4), Windows(np.array([0]), np.array([2]), np.array([2])))
    items, is_there = batch.newest_items(9)
    assert items.shape == is_there.shape == (2, 9)
    assert [row[there].tolist() for row, there in zip(items, is_there, strict=True)] == [[1], [2, 1]]


def test_a_history_batch_counts_its_rows_and_moves_whole():
    batch = HistoryBatch((torch.ones(3, 4, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)))
    assert len(batch) == 5
    moved = batch.to("meta")
    assert [group.device.type for group in moved.groups] == ["meta", "meta"] and len(moved) == 5
    assert [group.device.type for group in batch.groups] == ["cpu", "cpu"]


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_dealt_parts_have_each_target_once_with_its_history(count):
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 6, 9)
    starts = np.concatenate(([0], np.cumsum(lengths + 1)[:-1]))
    batch = pack(draw.integers(1, 50, int((lengths + 1).sum())), Windows(starts, lengths, lengths))

    def pairs(part):
        places = part.predicting
        items, positions = part.items.flatten()[places], part.positions.flatten()[places]
        return sorted(zip(items.tolist(), positions.tolist(), part.targets.tolist(), strict=True))

    parts = [batch.dealt(number, count) for number in range(count)]
    assert sorted(sum(map(pairs, parts), [])) == pairs(batch)
