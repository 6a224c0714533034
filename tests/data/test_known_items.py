"""What a row's user had before its target: against slow loops over made-up histories."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data.interaction import Interaction
from support import built_run

from recbole_mpo.data.known_items import ROW_NUMBER, KnownItems


def sets_of(known, numbers):
    """The items of each row as a set, from pairs that must be distinct."""
    rows, items = known.pairs(Interaction({ROW_NUMBER: torch.tensor(numbers, dtype=torch.int64)}))
    pairs = list(zip(rows.tolist(), items.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    return [{item for row, item in pairs if row == place} for place in range(len(numbers))]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=40))
def test_of_users_is_all_that_came_before(interactions):
    users, items = np.array(interactions).T
    known = KnownItems.of_users(users, items)
    expected = []
    for user in sorted(set(users.tolist())):
        history = items[users == user].tolist()
        expected += [set(history[:place]) for place in range(1, len(history))]
    assert len(known.begins) == len(expected)
    assert sets_of(known, list(range(len(expected)))) == expected


def of_rows(*rows):
    """``(user, split, history, target)`` each, in the order of the files."""
    users, splits, histories, targets = zip(*rows, strict=True)
    lists = np.empty(len(rows), dtype=object)
    lists[:] = [np.array(history) for history in histories]
    return KnownItems.of_rows(np.array(users), np.array(splits), lists, np.array(targets))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Rows that continue one another.
        ([(1, 0, [5], 6), (1, 0, [5, 6], 7), (1, 1, [5, 6, 7], 8), (1, 2, [5, 6, 7, 8], 9)],
         [{5}, {5, 6}, {5, 6, 7}, {5, 6, 7, 8}]),
        # Histories cut to their two newest items: older ones are known from the training rows.
        ([(1, 0, [5], 6), (1, 0, [5, 6], 7), (1, 1, [6, 7], 8), (1, 2, [7, 8], 9)],
         [{5}, {5, 6}, {5, 6, 7}, {5, 6, 7, 8}]),
        # The test row's history lacks the valid target, which is known nevertheless.
        ([(1, 0, [5, 6], 7), (1, 1, [5, 6, 7], 8), (1, 2, [5, 6, 7], 9)], [{5, 6}, {5, 6, 7}, {5, 6, 7, 8}]),
        # Two targets after one history are alternatives, but both are known afterwards.
        ([(1, 0, [5, 6], 7), (1, 1, [5, 6, 7], 8), (1, 1, [5, 6, 7], 9), (1, 2, [5, 6, 7, 8], 3)],
         [{5, 6}, {5, 6, 7}, {5, 6, 7}, {5, 6, 7, 8, 9}]),
        # Users side by side, rows in any order, targets that were there before.
        ([(2, 0, [4, 4], 4), (1, 2, [5, 6, 5], 6), (1, 1, [5, 6], 5), (1, 0, [5], 6), (2, 2, [4], 4)],
         [{4}, {5, 6}, {5, 6}, {5}, {4}]),
    ],
)  # fmt: skip
def test_of_rows_is_earlier_splits_and_the_own_history(rows, expected):
    known = of_rows(*rows)
    assert sets_of(known, list(range(len(rows)))) == expected
    assert sets_of(known, [len(rows) - 1, 0]) == [expected[-1], expected[0]]


ROWS = st.tuples(
    st.integers(1, 2), st.integers(0, 2), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 5)
)


@given(st.lists(ROWS, min_size=1, max_size=12))
def test_of_any_rows_nothing_of_earlier_splits_or_the_own_history_is_left_out(rows):
    for (user, split, history, _), found in zip(rows, sets_of(of_rows(*rows), list(range(len(rows)))), strict=True):
        earlier = [(other[2], other[3]) for other in rows if other[0] == user and other[1] < split]
        at_least = set(history).union(*({*items, target} for items, target in earlier))
        its_split = [{*other[2], other[3]} for other in rows if other[0] == user and other[1] == split]
        assert at_least <= found <= at_least.union(*its_split)


def test_pairs_of_no_rows():
    rows, items = KnownItems.of_users(np.array([1, 1]), np.array([3, 4])).pairs(
        Interaction({ROW_NUMBER: torch.tensor([], dtype=torch.int64)})
    )
    assert len(rows) == len(items) == 0


@pytest.mark.parametrize("model", ["UniSRec", "SASRec"])
def test_kept_histories_number_no_rows(tiny_settings, model):
    """A run without masking has the fields that it always had."""
    keys = ("data_path", "show_progress", "use_gpu", "seed")
    run = built_run(model, "tiny", (), {key: tiny_settings[key] for key in keys})
    assert run.dataset.known_items is None
    assert all(ROW_NUMBER not in split.inter_feat.interaction for split in run.splits)


@pytest.mark.parametrize("model", ["UniSRec", "SASRec"])
def test_items_that_a_model_no_longer_sees_are_known(tiny_settings, tmp_path, model):
    """Histories are cut for the model, whether the rows before them hold the older items or not."""
    folder = tmp_path / "data" / "long"
    folder.mkdir(parents=True)
    for part, row in (("train", "u\ta b c d\te"), ("valid", "u\ta b c d e\tf"), ("test", "u\ta b c d e f\tb")):
        lines = ["user_id:token\titem_id_list:token_seq\titem_id:token", row, row.replace("u", "v", 1)]
        (folder / f"long.{part}.inter").write_text("\n".join(lines) + "\n")
    keys = ("show_progress", "use_gpu", "seed")
    settings = {**{key: tiny_settings[key] for key in keys}, "data_path": str(tmp_path / "data")}
    run = built_run(model, "long", (), {**settings, "MAX_ITEM_LIST_LENGTH": 2, "eval_history": "masked"})
    for split, expected in zip(run.splits, ("abcd", "abcde", "abcdef"), strict=True):
        assert split[np.arange(2)]["item_id_list"].shape[1] == 2
        rows, items = split.known_items.pairs(split.inter_feat)
        for row in (0, 1):
            assert set(split.id2token("item_id", items[rows == row])) == set(expected)
