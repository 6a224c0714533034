"""What a preparation drops, and the order in which it leaves the rest."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.recipe import Interactions, Recipe, TokenNumbers


def interactions(rows):
    """From (user, item, time) triples."""
    users, items = TokenNumbers(), TokenNumbers()
    columns = [np.array(column, dtype=object) for column in zip(*rows, strict=True)]
    times = columns[2].astype(np.int64)
    return Interactions(users(columns[0]), items(columns[1]), times, *(n.tokens for n in (users, items)))


def rows_of(interactions):
    users, items = interactions.user_tokens[interactions.users], interactions.item_tokens[interactions.items]
    return list(zip(users.tolist(), items.tolist(), interactions.times.tolist(), strict=True))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60), st.integers(1, 4))
def test_k_core_is_what_removing_one_row_after_another_leaves(pairs, k):
    rows = [(f"u{user}", f"i{item}", number) for number, (user, item) in enumerate(pairs)]
    expected = list(rows)
    while True:
        users, items = Counter(row[0] for row in expected), Counter(row[1] for row in expected)
        rare = [row for row in expected if users[row[0]] < k or items[row[1]] < k]
        if not rare:
            break
        expected.remove(rare[0])
    assert rows_of(interactions(rows).k_core(k)) == expected


def test_a_core_says_how_many_users_and_items_it_leaves_out():
    rows = [*((user, item, 1) for user in "ab" for item in "xy"), ("c", "x", 1), ("a", "z", 2), ("b", "w", 2)]
    (step,) = interactions(rows).k_core(2).steps
    assert step.what.startswith("2-core: users and items with at least 2 interactions each; left out: ")
    assert step.what.endswith(": 1 of 3 users, 2 of 4 items")
    assert (step.interactions, step.dropped) == (4, 3)
    (step,) = interactions(rows[:5]).k_core(2).steps
    assert step.what.endswith("each; left out: 1 of 3 users")
    (step,) = interactions(rows[:4]).k_core(2).steps
    assert step.what.endswith("each")


def test_duplicates_keep_their_first_row_and_other_columns_tell_rows_apart():
    rows = interactions([("a", "x", 1), ("a", "x", 1), ("a", "x", 2), ("b", "x", 1)])
    assert rows_of(rows.without_duplicates(what="set")) == [("a", "x", 1), ("a", "x", 2), ("b", "x", 1)]
    ratings = np.array([5, 4, 5, 5])
    assert len(rows.without_duplicates(ratings, what="set")) == 4


def test_users_stand_by_first_appearance_and_rows_by_time_then_as_read():
    rows = interactions([("b", "x", 3), ("a", "y", 5), ("b", "z", 1), ("a", "w", 5), ("b", "y", 3)]).in_order()
    assert rows_of(rows) == [("b", "z", 1), ("b", "x", 3), ("b", "y", 3), ("a", "y", 5), ("a", "w", 5)]
    assert rows.item_tokens.tolist() == ["z", "x", "y", "w"]
    assert [history.tolist() for history in rows.histories()] == [[0, 1, 2], [2, 3]]


def test_milliseconds_apart_stay_apart():
    """Today's milliseconds need 41 bits, more than float32 has."""
    base = 1_600_000_000_000
    rows = [("a", f"i{offset}", base + offset) for offset in (5, 1, 4, 0, 3, 2)]
    assert [row[1] for row in rows_of(interactions(rows).in_order())] == ["i0", "i1", "i2", "i3", "i4", "i5"]


def test_numbers_go_on_from_block_to_block():
    number = TokenNumbers()
    assert number(np.array(["b", "a"], dtype=object)).tolist() == [0, 1]
    assert number(np.array(["c", "a", "b"], dtype=object)).tolist() == [2, 1, 0]
    assert number.tokens.tolist() == ["b", "a", "c"]


def test_absent_cells_are_a_value_of_their_own_in_every_block():
    number = TokenNumbers()
    assert number(np.array([None, "a", None], dtype=object)).tolist() == [1, 0, 1]
    assert number(np.array([None], dtype=object)).tolist() == [1]
    assert number(np.array(["b", "a", None], dtype=object)).tolist() == [2, 0, 1]


class TestRecipe:
    ROWS = [(f"u{user}", f"i{item}", item) for user in range(3) for item in range(user + 1)]

    def test_every_step_says_what_it_dropped(self):
        rows = Recipe(k_core=0, min_length=2).apply(interactions(self.ROWS))
        assert [(step.interactions, step.dropped) for step in rows.steps] == [(5, 1)]
        assert rows.user_tokens.tolist() == ["u1", "u2"]

    def test_min_length_follows_the_core(self):
        rows = Recipe(k_core=2, min_length=3).apply(interactions(self.ROWS + [("u2", "i0", 9)]))
        assert set(rows.user_tokens) == {"u2"} and len(rows) == 3

    def test_nothing_left_names_the_settings(self):
        with pytest.raises(DataError, match=r"none of the 6 interactions is left with k_core=5 .*--k_core=0"):
            Recipe(k_core=5).apply(interactions(self.ROWS))
