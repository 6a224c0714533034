"""Raw rows of every format reach the database as the small path reads them."""

import gzip
import json

import numpy as np
import pytest
from both_engines import COLUMNS, DUCKDB, compare, parquet_file, random_rows, request_of

from recbole_mpo.data.prepare.large.database import open_database
from recbole_mpo.data.prepare.large.raw_tables import BlockRows, read_raw
from recbole_mpo.data.prepare.raw_rows import Columns, UsableRows
from recbole_mpo.data.prepare.table_files import Table

pytest.importorskip("duckdb")


def write_rows(path, form):
    rows = [row.split(",") for row in random_rows(80, times=5)]
    names = COLUMNS.needed
    if form in ("csv", "tsv"):
        separator = {"csv": ",", "tsv": "\t"}[form]
        content = "\ufeff" + "\r\n".join(separator.join(row) for row in (names, *rows)) + "\r\n"
    else:
        content = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.csv.gz", "rows.jsonl", "rows.json.gz"])
def test_text_formats(tmp_path, capsys, name):
    write_rows(tmp_path / name, name.split(".")[1])
    assert compare("shop", request_of(tmp_path, table=Table(tmp_path / name)), capsys).count("\n") > 70


@pytest.mark.parametrize(
    "content, message",
    [
        ('user,item,time\nu,"a\tb",1\n', "'a\\tb' contains a tab or a line end"),
        ('user,item,time\nu,"a\nb",1\n', "contains a tab or a line end"),
        ("user,item,time\nu,[PAD],1\n", "'[PAD]' is the name of the padding"),
        ("user,item,time\nu,a\n", "has fewer than 3 cells"),
        ("user,item,time\n,a,1\n", "has no row with 'user', 'item' and 'time'"),
        ("user,thing,time\nu,a,1\n", "has no column 'item'"),
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(tmp_path, capsys, content, message):
    (tmp_path / "rows.csv").write_text(content)
    assert message in compare("shop", request_of(tmp_path), capsys)[1]


def test_half_of_a_surrogate_pair_is_refused(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"user": "a\\ud83d", "item": "b", "time": 1}\n')
    error, message = compare("shop", request_of(tmp_path, table=Table(tmp_path / "rows.jsonl")), capsys)
    assert "contains a NUL or half a character" in message


def test_a_file_that_is_absent(tmp_path, capsys):
    error, message = compare("shop", request_of(tmp_path), capsys)
    assert message.endswith("rows.csv does not exist")


def read(database, name):
    columns = [f'"{column}"' for column in ("user", "item", "time", "other", "place")]
    return database.rows(f"SELECT {', '.join(columns)} FROM raw ORDER BY place"), name


def test_both_ways_of_reading_give_the_same_rows(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", user=["u", None, "w"], item=["x", "y", "z"], time=[3, 2, 1])
    (tmp_path / "a.csv").write_text("user,item,time\nu,x,3\n,y,2\nw,z,1\n")
    with open_database(tmp_path, "a", DUCKDB) as database:
        raw = read_raw(database, Table(path), COLUMNS, None)
        assert [row[:3] for row in read(database, "a")[0]] == [("u", "x", 3), ("w", "z", 1)]
        assert [(step.interactions, step.dropped) for step in raw.steps] == [(3, 0), (2, 1)]
    with open_database(tmp_path, "a", DUCKDB) as database:
        assert raw.steps[1:] == read_raw(database, Table(tmp_path / "a.csv"), COLUMNS, None).steps[1:]
        assert [row[:3] for row in read(database, "a")[0]] == [("u", "x", 3), ("w", "z", 1)]


def test_several_tables_follow_one_another(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,time,stars\nu,x,3,1.0\nu,x,3,2.0\n")
    (tmp_path / "b.csv").write_text("who,what,when,stars\nv,x,4,1\nw,y,5,\n")
    with open_database(tmp_path, "a", DUCKDB) as database:
        rows = BlockRows(database, lambda cell: cell and float(cell))
        for name, columns in (("a", ("user", "item", "time")), ("b", ("who", "what", "when"))):
            rows.add(UsableRows(Table(tmp_path / f"{name}.csv"), Columns(*columns, ("stars",)), None))
        rows.finish()
        assert rows.count == 4
        table = np.array(read(database, "a")[0], dtype=object)
    assert table[:, 4].tolist() == [0, 1, 2, 3] and table[:, 2].tolist() == [3, 3, 4, 5]
    assert table[0, 3] == table[2, 3] and len(set(table[:, 3])) == 3
