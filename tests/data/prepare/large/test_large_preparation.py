"""Own tables and Amazon's reviews: DuckDB makes the same files as memory, byte for byte."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from both_engines import TEXTS, compare, parquet_file, random_rows, request_of, write_csv

from recbole_mpo.data.prepare.amazon import file_names
from recbole_mpo.data.prepare.prepare import Request
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import find_source
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("recipe", [Recipe(0, 1), Recipe(5, 3), Recipe(3, 8), Recipe(0, 12)], ids=str)
def test_ties_repetitions_and_cores(tmp_path, capsys, seed, recipe):
    write_csv(tmp_path, *random_rows(seed=seed))
    assert compare("shop", request_of(tmp_path, recipe), capsys).count("\n") > 100


def test_a_recipe_that_keeps_nothing(tmp_path, capsys):
    write_csv(tmp_path, *random_rows())
    error, message = compare("shop", request_of(tmp_path, Recipe(50, 3)), capsys)
    assert "interactions is left with k_core=50" in message


@pytest.mark.parametrize("order", ["time", None])
@pytest.mark.parametrize(
    "ratings", [[5, 3, None, 4, 2, 5], [5.0, 3.5, float("nan"), None, 4.0, 9.0], list("534 x1")], ids=str
)
def test_ratings_and_the_order_of_the_file(tmp_path, capsys, order, ratings):
    path = parquet_file(
        tmp_path / "rows.parquet", user=list("ababca"), item=list("xxyyxx"), time=[3, 3, 1, 2, 9, 3], rating=ratings
    )
    columns = Columns("user", "item", order, rating="rating")
    compare("shop", request_of(tmp_path, Recipe(0, 1, 3.5), columns, table=Table(path)), capsys)


@pytest.mark.parametrize("name", ["Pantry", "Pet-2023"])
@pytest.mark.parametrize("seed", range(2))
def test_amazons_reviews(tmp_path, capsys, name, seed):
    source, draw = find_source(name), np.random.default_rng(seed)
    files = [tmp_path / "raw" / Path(file).name for file in file_names(source)]
    files[0].parent.mkdir()
    rows = [
        (f"B{item:02}", f"A{user}", f"{rating}.0", int(moment))
        for item, user, rating, moment in draw.integers([0] * 4, [30, 20, 6, 9], (500, 4))
    ]
    if files[0].suffix == ".csv":
        files[0].write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    else:
        keys = ("parent_asin", "user_id", "rating", "timestamp")
        records = [{**dict(zip(keys, row, strict=True)), "rating": float(row[2])} for row in rows]
        files[0].write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    items = [
        {source.entry["item_field"]: f"B{item:02}", "title": TEXTS[draw.integers(len(TEXTS))]}
        for item in draw.integers(0, 40, 60)
    ]
    files[1].write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in items).encode()))
    request = Request(tmp_path / "data", Recipe(3, 3, 2.0), raw=tmp_path / "raw", show_progress=False)
    assert compare(name, request, capsys).count("\n") > 50
    files[1].write_bytes(gzip.compress(b'{"asin": "other", "parent_asin": "other"}\n'))
    other = replace(request, data_path=tmp_path / "other")
    assert "has none of the" in compare(name, other, capsys)[1]
