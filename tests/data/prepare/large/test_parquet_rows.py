"""Parquet files of any type are read as the small path reads them, one or many, by SQL or not."""

from dataclasses import replace

import numpy as np
import pytest
from both_engines import DUCKDB, compare, made, parquet_file, request_of

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.prepare import prepare_dataset
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


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
    # To DuckDB, names that differ in case alone are the same, and two names are its own.
    "twin of the user": {"USER": list("pqrs"), "user": list("abab"), "item": list("xxyy"), "time": [4, 3, 2, 1]},
    "twin of the item": {"user": list("abab"), "Item": list("pqrs"), "item": list("xxyy"), "time": [4, 3, 2, 1]},
    "its place in a file": {"user": list("abab"), "item": list("xyzw"), "time": [1] * 4,
                            "file_row_number": [9, 8, 7, 6]},
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


def test_the_unit_of_dates_is_that_of_the_rows_that_are_kept(tmp_path, capsys):
    moments = pyarrow.array([1_000_000, 2_000_000, 3_000_001], pyarrow.timestamp("us"))
    path = parquet_file(tmp_path / "a.parquet", user=["a", "b", "c"], item=["x"] * 3, time=moments, rating=[5, 4, 1])
    columns = Columns("user", "item", "time", rating="rating")
    for least, expected in ((2.0, "a\tx\t1000\n"), (1.0, "a\tx\t1000000\n")):
        request = request_of(tmp_path, Recipe(0, 1, least), columns, table=Table(path))
        assert expected in compare(f"shop{least}", request, capsys)
    assert (
        "has no row with a 'rating'"
        in compare("none", request_of(tmp_path, Recipe(0, 1, 9), columns, table=Table(path)), capsys)[1]
    )


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


@pytest.mark.parametrize(
    "first, second",
    [
        ({"time": pyarrow.array([3, 1], pyarrow.int32())}, {"time": [2**40, 5]}),
        ({"time": pyarrow.array([3.0, 1.0], pyarrow.float32())}, {"time": [1_600_000_005.5, 1_600_000_001.5]}),
        ({"user": pyarrow.array([1, 2], pyarrow.uint8())}, {"user": [300, -1]}),
        ({}, {"Item": ["q", "r"], "user": ["c", "d"]}),
        ({"File_Index": [1, 0]}, {"user": ["c", "d"]}),
    ],
    ids=["whole times", "float times", "ids", "names", "number of the file"],
)
def test_files_of_a_folder_may_differ(tmp_path, capsys, first, second):
    plain = {"user": ["a", "b"], "item": ["x", "y"], "time": [7, 7]}
    (tmp_path / "rows").mkdir()
    for part, columns in enumerate((first, second)):
        parquet_file(tmp_path / "rows" / f"{part}.parquet", **{**columns, **plain, **columns})
    assert compare("shop", request_of(tmp_path, table=Table(tmp_path / "rows")), capsys).count("\n") == 5


@pytest.mark.parametrize("kind", [pyarrow.float32(), pyarrow.float64()], ids=str)
@pytest.mark.parametrize("least", [3.3, 3.3000000000000003])
def test_ratings_are_compared_in_full(tmp_path, capsys, kind, least):
    ratings = pyarrow.array([3.3, 3.2, 3.4, None, float("nan")], kind)
    columns = {"user": list("abcde"), "item": list("xxxxx"), "time": [1] * 5, "rating": ratings}
    table = Table(parquet_file(tmp_path / "a.parquet", **columns))
    request = request_of(tmp_path, Recipe(0, 1, least), Columns("user", "item", "time", rating="rating"), table=table)
    kept = 1 + (least == 3.3 and kind == pyarrow.float64())
    assert compare("shop", request, capsys).count("\n") == 1 + kept


def test_times_of_64_bits_without_a_sign(tmp_path, capsys):
    moments = pyarrow.array([2**63 + 1, 2**63, 3], pyarrow.uint64())
    table = Table(parquet_file(tmp_path / "rows.parquet", user=list("aab"), item=list("xyz"), time=moments))
    request = request_of(tmp_path, table=table)
    large = made("large", replace(request, engine=DUCKDB), capsys)
    assert large["inter"] == made("small", request, capsys)["inter"]


def test_dates_out_of_range_are_named(tmp_path):
    moments = pyarrow.array([-62_135_596_800_000, 1], pyarrow.timestamp("ms"))
    table = Table(parquet_file(tmp_path / "rows.parquet", user=["a", "b"], item=["x", "y"], time=moments))
    with pytest.raises(DataError, match=r"rows\.parquet, column 'time': Conversion Error: .*; give times of the years"):
        prepare_dataset("shop", replace(request_of(tmp_path, table=table), engine=DUCKDB))


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
