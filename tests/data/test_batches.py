"""Batches by hand: what stands where, what predicts, and what follows a batch to another device."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from recbole_mpo.data.batches import HistoryBatch, pack, pack_histories
from recbole_mpo.data.sequences import Windows


def windows_of(starts, lengths, targets=None, users=None) -> Windows:
    """Windows of which all positions predict, each of a user of its own, where nothing else is said."""
    targets = lengths if targets is None else targets
    users = range(1, len(starts) + 1) if users is None else users
    return Windows(*(np.array(part) for part in (starts, lengths, targets, list(users))))


def test_a_batch_by_hand():
    """Windows of the values 1..9: 6 7, of which only the last predicts; 1 2 3; and 8, which fits beside 6 7."""
    windows = windows_of([5, 0, 7], [2, 3, 1], [1, 3, 1], users=[4, 9, 4])
    batch = pack(np.arange(1, 10), windows)
    assert batch.items.tolist() == [[1, 2, 3], [6, 7, 8]]
    assert batch.positions.tolist() == [[0, 1, 2], [0, 1, 0]]
    assert batch.predicting.tolist() == [4, 0, 1, 2, 5]
    assert batch.targets.tolist() == [8, 2, 3, 4, 9]
    assert batch.users.tolist() == [4, 9, 9, 9, 4]
    assert len(batch) == 5


def test_packed_histories_predict_from_their_last_items_in_the_order_of_the_rows():
    padded = np.array([[5, 0, 0, 0], [1, 2, 3, 4], [6, 7, 8, 0]])
    batch = pack_histories(padded, np.array([1, 4, 3]))
    assert batch.items.tolist() == [[1, 2, 3, 4], [6, 7, 8, 5]]
    assert batch.positions.tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch.items.flatten()[batch.predicting].tolist() == [5, 4, 8]
    assert len(batch) == 3
    assert batch.users.tolist() == batch.targets.tolist() == [0, 0, 0]


def test_to_moves_every_tensor():
    batch = pack(np.arange(1, 19), windows_of([0, 5, 11], [4, 5, 6]))
    moved = batch.to("meta")
    tensors = [getattr(moved, field.name) for field in fields(moved)]
    assert len(tensors) == 5 and {tensor.device.type for tensor in tensors} == {"meta"}
    assert batch.items.device.type == "cpu"
    assert torch.equal(batch.to("cpu").targets, batch.targets)


def test_ids_are_int64_whatever_the_values_are():
    windows = windows_of([0], [2])
    batch = pack(np.array([1, 2, 3], dtype=np.int32), windows)
    assert {getattr(batch, field.name).dtype for field in fields(batch)} == {torch.int64}


def test_the_newest_items_end_with_the_one_that_predicts():
    """Windows 1 2 3 4 and 5 6, of which all positions predict."""
    batch = pack(np.arange(1, 9), windows_of([0, 4], [4, 2]))
    items, is_there = batch.newest_items(3)
    newest = [row[there].tolist() for row, there in zip(items, is_there, strict=True)]
    assert newest == [[1], [2, 1], [3, 2, 1], [4, 3, 2], [5], [6, 5]]


def test_newest_items_may_be_more_than_the_batch_has():
    batch = pack(np.arange(1, 4), windows_of([0], [2]))
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
def test_dealt_parts_have_each_target_once_with_its_history_and_user(count):
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 6, 9)
    starts = np.concatenate(([0], np.cumsum(lengths + 1)[:-1]))
    batch = pack(
        draw.integers(1, 50, int((lengths + 1).sum())), windows_of(starts, lengths, users=draw.integers(1, 5, 9))
    )

    def pairs(part):
        places = part.predicting
        items, positions = part.items.flatten()[places], part.positions.flatten()[places]
        return sorted(zip(*(column.tolist() for column in (items, positions, part.targets, part.users)), strict=True))

    parts = [batch.dealt(number, count) for number in range(count)]
    assert sorted(sum(map(pairs, parts), [])) == pairs(batch)
