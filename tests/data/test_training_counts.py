"""What is counted in training histories equals what a loop over training rows counts, and nothing else."""

from collections import Counter

import numpy as np
import pytest
from scipy import sparse
from support import built_run

from recbole_mpo.data.training_counts import (
    Pairs,
    counts_hash,
    pair_counts,
    training_interactions,
    training_pairs,
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


def pairs_by_loop(histories, window):
    """(user, item, later item, distance) of all places at most ``window`` apart."""
    return Counter(
        (user, item, later, distance)
        for user, history in histories.items()
        for distance in range(1, window + 1)
        for item, later in zip(history, history[distance:], strict=False)
    )


def counted(pairs):
    return Counter(zip(*(part.tolist() for part in (pairs.users, pairs.before, pairs.after, pairs.distances)),
                       strict=True))  # fmt: skip


@pytest.mark.parametrize("window", [1, 2, 4, 200])
def test_pairs_are_those_of_a_loop_over_histories(train, window):
    pairs = training_pairs(train, window)
    assert len(pairs) == len(pairs.users) and counted(pairs) == pairs_by_loop(histories(train), window)


@pytest.mark.parametrize("window", [1, 4])
def test_pairs_without_the_last_target_are_those_of_histories_that_ended_before_it(train, window):
    before = {user: history[:-1] for user, history in histories(train).items()}
    assert counted(training_pairs(train, window, without_last=True)) == pairs_by_loop(before, window)


def test_neighbours_count_both_ways_and_half_per_place_between(train):
    expected = np.zeros((train.item_num, train.item_num))
    for (_, item, later, distance), count in pairs_by_loop(histories(train), 4).items():
        expected[item, later] += count * 0.5 ** (distance - 1)
        expected[later, item] += count * 0.5 ** (distance - 1)
    neighbours = training_pairs(train, 4).neighbours(train.item_num)
    assert neighbours.format == "csr" and np.array_equal(neighbours.toarray(), expected)
    transitions = training_transitions(train)
    both_ways = (transitions + transitions.T).toarray()
    assert np.array_equal(training_pairs(train).neighbours(train.item_num).toarray(), both_ways)


def test_neighbours_by_hand():
    """1 beside itself counts twice; 1 and 2 at distances 1, 2 and 3; user 8's pair is chosen out."""
    ones, twos = np.array([1, 1, 1, 1]), np.array([1, 2, 2, 2])
    pairs = Pairs(ones, twos, np.array([1, 1, 2, 3]), np.array([7, 8, 7, 7]))
    assert pairs.neighbours(3).toarray().tolist() == [[0, 0, 0], [0, 2, 1.75], [0, 1.75, 0]]
    assert pairs[pairs.users != 8].neighbours(3).toarray().tolist() == [[0, 0, 0], [0, 2, 0.75], [0, 0.75, 0]]


def test_pairs_are_counted_in_their_direction():
    counts = pair_counts(np.array([1, 1, 2]), np.array([2, 2, 1]), 3).toarray()
    assert counts.tolist() == [[0, 0, 0], [0, 0, 2], [0, 1, 0]]


def test_the_hash_knows_every_count_and_no_type():
    table = np.array([[0, 1], [2, 0]])
    assert counts_hash(table) == counts_hash(table.astype(np.int32)) == counts_hash(table.astype(np.float64))
    hashes = {counts_hash(*tables) for tables in ((table,), (table.T,), (table, table), (sparse.csr_matrix(table),))}
    assert len(hashes) == 4


def test_without_the_last_target_a_history_that_one_row_covers_keeps_its_other_pairs(tmp_path):
    """Pre-split rows need not have a row for each prefix."""
    folder = tmp_path / "rows"
    folder.mkdir()
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (folder / "rows.train.inter").write_text(header + "u\ta b c\td\n", encoding="utf-8")
    for part in ("valid", "test"):
        (folder / f"rows.{part}.inter").write_text(header + "u\ta b c d\te\n", encoding="utf-8")
    settings = {"data_path": str(tmp_path), "checkpoint_dir": str(tmp_path / "saved"), "use_gpu": False}
    built = built_run("Pop", "rows", (), settings)
    names = built.dataset.field2id_token["item_id"]

    def found(**options):
        pairs = training_pairs(built.splits[0], **options)
        return sorted(zip(names[pairs.before], names[pairs.after], pairs.distances.tolist(), strict=True))

    assert found() == [("a", "b", 1), ("b", "c", 1), ("c", "d", 1)]
    assert found(without_last=True) == [("a", "b", 1), ("b", "c", 1)]
    assert found(window=2, without_last=True) == [("a", "b", 1), ("a", "c", 2), ("b", "c", 1)]
