"""Texts of items: the first that says something, and what is said about the others."""

import json

import numpy as np
import pytest
from both_engines import TEXTS, compare, random_rows, request_of, write_csv

from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.mark.parametrize("seed", range(3))
def test_texts_of_items(tmp_path, capsys, seed):
    write_csv(tmp_path, *random_rows(seed=seed, items=30))
    draw = np.random.default_rng(seed)
    records = [
        {
            "item": f"{item:03}",
            "title": TEXTS[draw.integers(len(TEXTS))],
            "brand": ["Acme", None, "."][draw.integers(3)],
        }
        for item in draw.integers(0, 40, 120)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    request = request_of(tmp_path, Recipe(4, 1), items=Table(tmp_path / "items.jsonl"), fields=("title", "brand"))
    compare("shop", request, capsys)
    assert (tmp_path / "data" / "inter-duckdb" / "shop" / "shop.text").read_text().count("\n") > 30
    compare("shop2", request_of(tmp_path, items=Table(tmp_path / "rows.csv"), fields=("user",)), capsys)


def test_items_that_do_not_fit_are_refused(tmp_path, capsys):
    write_csv(tmp_path, *random_rows())
    (tmp_path / "items.csv").write_text("item,title\n7,Cup\n8,Lamp\n")
    request = request_of(tmp_path, items=Table(tmp_path / "items.csv"), fields=("title",))
    error, message = compare("shop", request, capsys)
    assert "has a text in" in message and "and '7' in the other" in message
