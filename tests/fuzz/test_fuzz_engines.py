"""Random tables of nasty cells: whatever memory makes of them, DuckDB makes too, or refuses in the same words."""

import csv
import json

import numpy as np
import pytest
from both_engines import TEXTS, compare, request_of

from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb", reason="needs the extra [scale]")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
CELLS = (
    "a|b|ü|007|7|7.0|1e5|NULL|nan|None||  |\u2003|x y|'|\\N|1_0|-0|+5|0x1|日本|🙂|e\u0301|é|[]|{}|#|--|;|"
    "1.0|1.00|-2.0|٣.0"
)
TIMES = (
    "1|2|3|4",
    "1.5|2|2.0|1e2|-0.0|0|007",
    "2020-01-01|2020-01-02 03:04|2020-01-01T00:00:00.5|1960-05-06",
    "9007199254740993|9007199254740992|9007199254740994|5",
    "1600000000.1234567|1600000000.1234568|2",
    "1|x",
    "1|2020-01-01",
    "99999999999999999999|3",
)
FORMS = ("csv", "tsv", "jsonl", "parquet", "typed", "folder")


def typed(column, draw):
    """A column of cells as an Arrow array of a random type that can hold it, or else as text."""
    types = [pyarrow.int64(), pyarrow.int32(), pyarrow.float64(), pyarrow.float32(), pyarrow.large_string()]
    types += [pyarrow.timestamp("us"), pyarrow.timestamp("ms", "UTC"), pyarrow.timestamp("ns"), pyarrow.date32()]
    cells = pyarrow.array([cell if draw.random() > 0.1 else None for cell in column], pyarrow.string())
    for kind in draw.permutation(np.array(types, dtype=object)):
        try:
            return cells.cast(kind)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            continue
    return cells


def write(path, form, names, rows, draw):
    columns = [list(column) for column in zip(*rows, strict=True)]
    if form in ("csv", "tsv"):
        with open(path / f"rows.{form}", "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="," if form == "csv" else "\t").writerows([names, *rows])
    elif form == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows]
        (path / "rows.jsonl").write_text("".join(lines))
    else:
        if form != "parquet":
            columns = [typed(column, draw) for column in columns]
        table = pyarrow.table(dict(zip(names, columns, strict=True)))
        if form != "folder":
            parquet.write_table(table, path / f"rows.{form}.parquet")
            return Table(path / f"rows.{form}.parquet")
        (path / "rows").mkdir()
        for part in range(3):
            parquet.write_table(table.slice(part * 40, 40), path / "rows" / f"part-{part}.parquet", row_group_size=15)
        return Table(path / "rows")
    return Table(path / f"rows.{form}")


def one_table(tmp_path, capsys, seed):
    draw = np.random.default_rng(seed)
    form, times = str(draw.choice(FORMS)), TIMES[draw.integers(len(TIMES))].split("|")
    vocabularies = CELLS.split("|"), CELLS.split("|"), times, ["1", "2", "3.5", "5", "4.0"]
    if draw.random() < 0.5:
        vocabularies = ["1", "2", "3", "44"], ["5", "6", "7"], times, ["1", "2", "5"]
    rows = [[cells[draw.integers(len(cells))] for cells in vocabularies] for _ in range(100)]
    table = write(tmp_path, form, ("user", "item", "time", "rating"), rows, draw)
    recipe = Recipe(int(draw.integers(4)), int(draw.integers(1, 6)), [None, 2.0, 3.5][draw.integers(3)])
    columns = Columns("user", "item", [None, "time", "time"][draw.integers(3)], rating="rating")
    items, fields = None, ()
    if draw.random() < 0.4:
        records = [
            {"item": vocabularies[1][draw.integers(len(vocabularies[1]))], "title": TEXTS[draw.integers(len(TEXTS))]}
            for _ in range(30)
        ]
        (tmp_path / "items.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        items, fields = Table(tmp_path / "items.jsonl"), ("title",)
    return compare("shop", request_of(tmp_path, recipe, columns, items, fields, table), capsys)


@pytest.mark.parametrize("seed", range(6))
def test_engines_agree(tmp_path, capsys, seed):
    one_table(tmp_path, capsys, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_engines_agree_on_many(tmp_path, capsys, seed):
    one_table(tmp_path, capsys, seed)
