"""Own tables and Amazon's reviews: DuckDB makes the same files as memory, byte for byte."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from both_engines import DUCKDB, compare

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.amazon import file_names
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import find_source
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
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


IDS = ["007", "7", "1e5", "100000", "NULL", "nan", "None", "true", "ü", "日本", 'say "x"', "a,b", " a", "a ", "1010.0",
       "1010", "-3.00", "٣.0", "'", "inf", "0x10", "\u2003x", "é", "e\u0301", "\\N", "#", "1_000"]  # fmt: skip
NASTY_TIMES = {
    "whole": ["5", "7", "-3", "1600000000000", " 8 ", "+9"],
    "digits": ["9007199254740993", "9007199254740992", "12", "9007199254740994"],
    "fractions": ["1.5", "2", "1.50", "1e3", "-0.0", "0", "1600000000.25"],
    "fine": ["1600000000.1234567", "1600000000.1234568", "1600000000.12345671", "3"],
    "dates": ["2020-01-01", "2020-01-01 12:00:00", "1969-12-31T23:59:59.5", "2020-02-03 04:05:06+02:00"],
    "micro": ["2020-01-01", "2020-01-01 12:00:00.000001"],
    "mixed": ["2020-01-01", "5"],
    "no number": ["nan", "5"],
    "words": ["yesterday", "5"],
    "large": ["99999999999999999999", "5", "18446744073709551615"],
    "infinite": ["inf", "5"],
}


def cells_of(draw, count, times):
    """Rows of nasty cells, some of them empty or blank."""
    rows = []
    for _ in range(count):
        user, item = (str(draw.choice(IDS[:12])), str(draw.choice(IDS)))
        moment = times[int(draw.integers(len(times)))]
        rows.append(
            [cell if draw.random() > 0.04 else draw.choice(["", "  ", "\u2003"]) for cell in (user, item, moment)]
        )
    return rows


@pytest.mark.parametrize("times", NASTY_TIMES)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_nasty_cells_are_read_alike(tmp_path, capsys, times, suffix):
    rows = cells_of(np.random.default_rng(len(times)), 300, NASTY_TIMES[times])
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        with open(path, "w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows([COLUMNS.needed, *rows])
    elif suffix == "jsonl":
        records = [dict(zip(COLUMNS.needed, row, strict=True)) for row in rows]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        columns = dict(zip(COLUMNS.needed, map(list, zip(*rows, strict=True)), strict=True))
        parquet.write_table(pyarrow.table(columns), path)
    result = compare("shop", request_of(tmp_path, table=Table(path)), capsys)
    is_refused = times in ("mixed", "no number", "words", "infinite") or (
        times == "large" and isinstance(result, tuple)
    )
    assert isinstance(result, tuple) == is_refused


def parquet_file(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)
    return path


def moments(unit, zone=None):
    values = [0, 86_400_000, 1_600_000_000_123, None, -1, 5]
    scale = {"s": 0.001, "ms": 1, "us": 1000, "ns": 1_000_000}[unit]
    values = [value if value is None else int(value * scale) for value in values]
    return pyarrow.array(values, pyarrow.timestamp(unit, zone))


PARQUET_COLUMNS = {
    "whole numbers": {"user": [1, 2, 1, None, 3, 1], "item": [7, 7, 8, 8, 10**18, 7], "time": [3, 2, 1, 0, None, 3]},
    "unsigned": {"user": pyarrow.array([1, 2, 1, 1, 3, 2**64 - 1], pyarrow.uint64()), "item": list("abcdef"),
                 "time": [0] * 6},
    "floats as ids": {"user": [1.0, 2.0, None, 1.5, float("nan"), 1.0], "item": ["a", "b", "a", "b", "a", "a"],
                      "time": [1, 1, 1, 1, 1, 1]},
    "float times": {"user": list("ababcc"), "item": list("xxyyxx"), "time": [0.5, 1.0, -0.0, float("nan"), 1e300, 0.1]},
    "whole float times": {"user": list("ababcc"), "item": list("xxyyxx"), "time": [5.0, 1.0, -0.0, None, 2.0**52, 1.0]},
    "small floats": {"user": list("ababcc"), "item": list("xxyyxx"),
                     "time": pyarrow.array([0.1, 1.0, 2.0, None, 16777216.0, 0.1], pyarrow.float32())},
    **{f"{unit} {zone}": {"user": list("ababcc"), "item": list("xxyyxx"), "time": moments(unit, zone)}
       for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Europe/Berlin")},
    "truths": {"user": [True, False, True, None, True, True], "item": list("xxyyxx"), "time": [1, 2, 3, 4, 5, 6]},
    "lists": {"user": [["a", "b"], ["c"], [], ["a"], None, ["a b"]], "item": list("xxyyxx"), "time": list(range(6))},
    "categories": {"user": pyarrow.array(list("ababcc")).dictionary_encode(), "item": list("xxyyxx"), "time": [1] * 6},
    "blank": {"user": [" ", "a", "\x1f", "\u2028", "b", "\x0ba"], "item": list("xxyyxx"), "time": [1, 2, 3, 4, 5, 6]},
    "tabs": {"user": ["a\tb", "a", "b", "c", "b", "a"], "item": list("xxyyxx"), "time": [1, 2, 3, 4, 5, 6]},
    "line ends": {"user": list("ababcc"), "item": ["x\r", "y", "y", "y", "y", "y"], "time": [1, 2, 3, 4, 5, 6]},
    "zeros": {"user": list("ababcc"), "item": ["x\0", "y", "y", "y", "y", "y"], "time": [1, 2, 3, 4, 5, 6]},
    "padding": {"user": list("ababcc"), "item": ["[PAD]", "y", "y", "y", "y", "y"], "time": [1, 2, 3, 4, 5, 6]},
    "nothing": {"user": pyarrow.array([None, None], pyarrow.string()), "item": ["a", "b"], "time": [1, 2]},
    "no rows": {"user": pyarrow.array([], pyarrow.string()), "item": pyarrow.array([], pyarrow.string()),
                "time": pyarrow.array([], pyarrow.int64())},
    "no column": {"user": ["a"], "thing": ["b"], "time": [1]},
}  # fmt: skip


@pytest.mark.parametrize("columns", PARQUET_COLUMNS.values(), ids=PARQUET_COLUMNS)
def test_parquet_of_any_type_is_read_alike(tmp_path, capsys, columns):
    compare("shop", request_of(tmp_path, table=Table(parquet_file(tmp_path / "rows.parquet", **columns))), capsys)


@pytest.mark.parametrize("engine", [Engine(), DUCKDB], ids=lambda engine: engine.name)
def test_an_infinite_time_is_refused(tmp_path, engine):
    path = parquet_file(tmp_path / "rows.parquet", user=["a", "b"], item=["x", "y"], time=[0.5, float("inf")])
    with pytest.raises(DataError, match=r"rows\.parquet, column 'time': '(0\.5|inf)' is neither a number nor a date"):
        prepare_dataset("shop", replace(request_of(tmp_path, table=Table(path)), engine=engine))
    assert not list(tmp_path.glob("data/.*"))


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


def test_a_folder_as_spark_writes_it(tmp_path, capsys):
    folder = tmp_path / "rows"
    (folder / "day=1").mkdir(parents=True)
    for name in ("_SUCCESS", "._SUCCESS.crc", ".part-00000.parquet.crc", "_metadata"):
        (folder / name).write_text("no data")
    (folder / "_temporary").mkdir()
    parquet_file(folder / "_temporary" / "part-0.parquet", user=["no"], item=["data"], time=[0])
    draw = np.random.default_rng(1)
    for part in ("part-00001-b.snappy.parquet", "part-00000-a.snappy.parquet", "day=1/part-00000.parquet"):
        users, items = (list(map(str, draw.integers(6, size=50))) for _ in range(2))
        parquet_file(folder / part, user=users, item=items, time=draw.integers(4, size=50))
    request = request_of(tmp_path, Recipe(2, 1), table=Table(folder))
    result = compare("shop", request, capsys)
    assert result.count("\n") > 80
    parquet_file(folder / "part-00002.parquet", user=[1, 2], item=["a", "b"], time=[0.5, 2.0])
    assert compare("shop2", request, capsys) != result, "files of other types are read too"


def test_an_empty_folder_is_refused(tmp_path, capsys):
    (tmp_path / "rows").mkdir()
    error, message = compare("shop", request_of(tmp_path, table=Table(tmp_path / "rows")), capsys)
    assert "rows is a folder without a .parquet file" in message


def test_names_that_would_be_patterns_or_sql(tmp_path, capsys):
    columns = {"us'er": list("ababa"), 'it"em': list("xyxyx"), "ti me": [1, 2, 3, 3, 2]}
    for name in ("it's.parquet", "row[s]*.parquet"):
        path = parquet_file(tmp_path / name, **columns)
        result = compare(f"shop{len(name)}", request_of(tmp_path, columns=Columns(*columns), table=Table(path)), capsys)
        assert result.count("\n") == 6


TEXTS = ["Cup", "", "Lamp &amp; co", ".", "x" * 3000, "Löwe\tbox", "half \ud83d", None, "--"]


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


def test_ids_with_a_fraction_of_zero_are_whole_numbers_in_both_tables(tmp_path, capsys):
    write_csv(tmp_path, "1.0,2,3", "1,2.0,4", "1.00,x.0,5", "1.5,2,1", "-3.0,2,1")
    (tmp_path / "items.csv").write_text("item,title\n2.0,Cup\nx.0,Lamp\n2,Other\n")
    request = request_of(tmp_path, items=Table(tmp_path / "items.csv"), fields=("title",))
    assert "1\t2\t3\n1\t2\t4\n1\tx.0\t5\n" in compare("shop", request, capsys)
    assert (
        "4 ids of rows.csv are written like -3.0 and were read as -3."
        in (tmp_path / "data/parquet-duckdb/shop/README.md").read_text()
    )


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
