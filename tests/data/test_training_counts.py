"""What is counted in training histories equals what a loop over training rows counts, and nothing else."""

from collections import Counter

import numpy as np
import pytest
from scipy import sparse

from recbole_mpo.data.training_counts import (
    counts_hash,
    pair_counts,
    training_interactions,
    training_popularity,
    training_transitions,
)


@pytest.fixture(params=["single", "pre-split"])
def train(request, tmp_path, data):
    """The training part of a dataset in either layout, histories longer than a model sees among them."""
    interactions = data.random_interactions(longest=130)
    if request.param == "single":
        data.write_single(tmp_path, interactions)
    else:
        data.write_split(tmp_path, data.split_parts(interactions))
    return data.open_dataset(tmp_path).splits[0]


def histories(train) -> dict[int, list[int]]:
    """The items of each user's training history: all but the last two, as the rows begin at the first item."""
    rows, items = train.rows(), {}
    for user, end, length in zip(rows.users.tolist(), rows.ends.tolist(), rows.lengths.tolist(), strict=True):
        places = items.setdefault(user, {})
        places.update({place: int(train.flat_items[place]) for place in range(end - length, end + 1)})
    return {user: [places[place] for place in sorted(places)] for user, places in items.items()}


def test_popularity_counts_each_place_of_a_history_once(train):
    counts = Counter(item for history in histories(train).values() for item in history)
    popularity = training_popularity(train)
    assert popularity.dtype == np.int32 and popularity.shape == (train.item_num,)
    assert {item: count for item, count in enumerate(popularity.tolist()) if count} == counts


def test_interactions_are_those_of_the_histories(train):
    users, items = training_interactions(train)
    expected = Counter((user, item) for user, history in histories(train).items() for item in history)
    assert Counter(zip(users.tolist(), items.tolist(), strict=True)) == expected


def test_transitions_count_each_pair_of_neighbours_once(train):
    pairs = Counter()
    for history in histories(train).values():
        pairs.update(zip(history, history[1:], strict=False))
    transitions = training_transitions(train).tocoo()
    assert transitions.shape == (train.item_num, train.item_num)
    counted = zip(transitions.row.tolist(), transitions.col.tolist(), transitions.data.tolist(), strict=True)
    assert {(before, after): count for before, after, count in counted} == pairs


def test_pairs_are_counted_in_their_direction():
    counts = pair_counts(np.array([1, 1, 2]), np.array([2, 2, 1]), 3).toarray()
    assert counts.tolist() == [[0, 0, 0], [0, 0, 2], [0, 1, 0]]


def test_the_hash_knows_every_count_and_no_type():
    table = np.array([[0, 1], [2, 0]])
    assert counts_hash(table) == counts_hash(table.astype(np.int32)) == counts_hash(table.astype(np.float64))
    hashes = {counts_hash(*tables) for tables in ((table,), (table.T,), (table, table), (sparse.csr_matrix(table),))}
    assert len(hashes) == 4
