"""Own tables and Amazon's reviews: DuckDB makes the same files as memory, byte for byte."""

import gzip
import json

import numpy as np
import pytest
from both_engines import compare

from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
KEEP_ALL = Recipe(0, 1)

COLUMNS = Columns("user", "item", "time")


def request_of(tmp_path, recipe=KEEP_ALL, columns=COLUMNS, items=None, fields=(), table=None):
    own = OwnTables(table or Table(tmp_path / "rows.csv"), columns, items, None, fields)
    return Request(tmp_path / "data", recipe, own=own, show_progress=False)


def write_csv(tmp_path, *rows, header="user,item,time"):
    (tmp_path / "rows.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def random_rows(rows=600, users=40, items=25, times=30, seed=0):
    draw = np.random.default_rng(seed)
    popular = np.minimum(draw.geometric(0.08, rows), items) - 1
    return [
        f"u{user},{item:03},{moment}"
        for user, item, moment in zip(
            draw.integers(users, size=rows), popular, draw.integers(times, size=rows), strict=True
        )
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("recipe", [Recipe(0, 1), Recipe(5, 3), Recipe(3, 8), Recipe(0, 12)], ids=str)
def test_ties_repetitions_and_cores(tmp_path, capsys, seed, recipe):
    write_csv(tmp_path, *random_rows(seed=seed))
    assert compare("shop", request_of(tmp_path, recipe), capsys).count("\n") > 100


def test_a_recipe_that_keeps_nothing(tmp_path, capsys):
    write_csv(tmp_path, *random_rows())
    error, message = compare("shop", request_of(tmp_path, Recipe(50, 3)), capsys)
    assert "interactions is left with k_core=50" in message
