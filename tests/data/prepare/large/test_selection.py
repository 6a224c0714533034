"""Rows are chosen in SQL as by numpy: repeated ones, cores and short histories."""

import numpy as np
import pandas as pd
import pytest
from both_engines import DUCKDB

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.large import selection as module
from recbole_mpo.data.prepare.large.database import open_database
from recbole_mpo.data.prepare.large.selection import Selection
from recbole_mpo.data.prepare.recipe import Interactions, Recipe

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path, "a", DUCKDB) as database:
        yield database


def columns_of(seed, rows=400):
    draw = np.random.default_rng(seed)
    items = np.minimum(draw.geometric(0.07, rows), 40)
    return {
        "u": draw.integers(50, size=rows),
        "i": items,
        "t": draw.integers(3, size=rows),
        "other": draw.integers(2, size=rows),
    }


def fill(database, columns):
    table = pyarrow.table({**columns, "place": np.arange(len(columns["u"]))})
    with database.view("given", table):
        database.run("CREATE TABLE coded AS SELECT * FROM given")


def places(database):
    return [place for (place,) in database.rows("SELECT place FROM rows ORDER BY place")]


def interactions_of(columns):
    return Interactions(columns["u"], columns["i"], columns["t"], np.arange(51), np.arange(41))


@pytest.mark.parametrize("seed", range(3))
def test_the_first_of_equal_rows_stays(database, seed):
    columns = columns_of(seed)
    fill(database, columns)
    selection = Selection(database)
    selection.take_different([(0, 9), (10, 9), (10, 49)], "different")
    stays = ~pd.DataFrame(columns).duplicated().to_numpy()
    assert places(database) == np.flatnonzero(stays).tolist()
    assert (selection.count, selection.steps[0].dropped) == (stays.sum(), (~stays).sum())


@pytest.mark.parametrize("copied", [0.0, 2.0])
@pytest.mark.parametrize("recipe", [Recipe(4, 1), Recipe(6, 3), Recipe(0, 9), Recipe(3, 11), Recipe(1, 1)], ids=str)
def test_a_recipe_keeps_what_it_keeps_in_memory(database, monkeypatch, recipe, copied):
    """Whether rows are deleted where they are or the others copied."""
    monkeypatch.setattr(module, "_COPIED_SHARE", copied)
    columns = columns_of(7)
    fill(database, columns)
    selection = Selection(database)
    selection.take_all()
    selection.apply(recipe)
    small = recipe.apply(interactions_of(columns))
    kept = {name: values[places(database)] for name, values in columns.items()}
    assert selection.count == len(small) == len(kept["u"])
    assert tuple(selection.steps) == small.steps
    large = interactions_of(kept).in_order()
    assert np.array_equal(large.users, small.users) and np.array_equal(large.item_tokens, small.item_tokens)


def test_a_recipe_that_keeps_nothing_is_refused(database):
    fill(database, columns_of(0))
    selection = Selection(database)
    selection.take_all()
    with pytest.raises(DataError, match="none of the 400 interactions is left with k_core=99"):
        selection.apply(Recipe(99, 3))


def test_a_condition_is_a_step(database):
    columns = columns_of(1)
    fill(database, columns)
    selection = Selection(database)
    selection.take_all()
    selection.keep("t > 0", "late rows")
    assert places(database) == np.flatnonzero(columns["t"] > 0).tolist()
    assert (selection.steps[0].what, selection.steps[0].dropped) == ("late rows", 400 - selection.count)
