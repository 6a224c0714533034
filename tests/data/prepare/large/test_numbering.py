"""Users and items are numbered as by sorting in memory."""

import numpy as np
import pytest
from both_engines import DUCKDB

from recbole_mpo.data.prepare.large.database import open_database
from recbole_mpo.data.prepare.large.numbering import number_users_and_items
from recbole_mpo.data.prepare.recipe import Interactions

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_the_small_path(tmp_path, seed):
    draw = np.random.default_rng(seed)
    users, items, times = (draw.integers(limit, size=300) for limit in (30, 60, 4))
    small = Interactions(users, items, times, np.arange(30), np.arange(60)).in_order()
    # The rows of a database stand in no order.
    order = draw.permutation(300)
    columns = {"u": users, "i": items, "t": times, "place": np.arange(300)}
    with open_database(tmp_path, "a", DUCKDB) as database:
        with database.view("given", pyarrow.table({name: values[order] for name, values in columns.items()})):
            database.run("CREATE TABLE rows AS SELECT * FROM given")
        assert number_users_and_items(database) == (len(small.user_tokens), len(small.item_tokens))
        numbers = [database.rows(f"SELECT * FROM {name}_numbers ORDER BY number") for name in ("user", "item")]
    assert [u for u, _ in numbers[0]] == small.user_tokens.tolist()
    assert [i for i, _, _ in numbers[1]] == small.item_tokens.tolist()
    assert [number for _, number, _ in numbers[1]] == list(range(len(small.item_tokens)))
    assert [count for _, _, count in numbers[1]] == np.bincount(small.items).tolist()
