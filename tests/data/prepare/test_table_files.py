"""Tables of every format give the same text cells, and bad ones a message."""

import csv
import gzip
import json

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, DataError, DependencyError
from recbole_mpo.data.prepare import table_files
from recbole_mpo.data.prepare.table_files import Table, json_lines

ROWS = [("u1", "007", "1600000000123"), ('ü, "x"', "8", "1600000000124"), ("u3", "9", "12")]
NAMES = ("user", "item", "time")


def write_csv(path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([NAMES, *ROWS])
    return path


def write_tabs(path):
    path.write_text("".join("\t".join(row) + "\n" for row in [NAMES, *ROWS]), encoding="utf-8")
    return path


def write_json(path):
    lines = [json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def write_parquet(path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed ([data])")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))), path)
    return path


def write_excel(path):
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed ([data])")
    book = openpyxl.Workbook()
    for row in [NAMES, *ROWS]:
        book.active.append(row)
    book.save(path)
    return path


def write_gzip(path):
    path.write_bytes(gzip.compress(write_csv(path.with_suffix("")).read_bytes()))
    return path


WRITERS = {
    "a.csv": write_csv,
    "a.tsv": write_tabs,
    "a.jsonl": write_json,
    "a.csv.gz": write_gzip,
    "a.parquet": write_parquet,
    "a.xlsx": write_excel,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_cells(name, tmp_path):
    table = Table(WRITERS[name](tmp_path / name))
    cells = [tuple(row) for block in table.blocks(("user", "time", "item")) for row in block.itertuples(index=False)]
    assert cells == [(user, time, item) for user, item, time in ROWS]


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_column_is_named_with_those_there(name, tmp_path):
    table = Table(WRITERS[name](tmp_path / name))
    with pytest.raises(DataError, match=r"no column 'usr' \(did you mean 'user'\?\); its columns are"):
        list(table.blocks(("usr",)))


def test_blocks_join_to_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "ROWS_PER_BLOCK", 2)
    assert [len(block) for block in Table(write_csv(tmp_path / "a.csv")).blocks(NAMES)] == [2, 1]


def test_absent_and_blank_cells_are_none_and_na_is_a_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("user,item\n,NA\n  ,null\n")
    (block,) = Table(path).blocks(("user", "item"))
    assert block.to_numpy().tolist() == [[None, "NA"], [None, "null"]]


def test_a_separator_too_many_is_an_error_that_shows_the_row(tmp_path):
    (tmp_path / "a.csv").write_text("when,name,user\n1,Ruler,u1\n2,Ruler, steel,u2\n")
    message = r"line 3 has more than 3 cells: \['2', 'Ruler', ' steel', 'u2'\]"
    with pytest.raises(DataError, match=message):
        list(Table(tmp_path / "a.csv").blocks(("when", "user")))
    (tmp_path / "a.csv").write_text('when,name,user\n1,Ruler,u1,\n2,"Ruler, steel",u2,\n')
    (block,) = Table(tmp_path / "a.csv").blocks(("name", "user"))
    assert block.to_numpy().tolist() == [["Ruler", "u1"], ["Ruler, steel", "u2"]]


def test_names_of_other_columns_may_be_empty_or_equal(tmp_path):
    (tmp_path / "a.csv").write_text("user,,x,,x,item\nu1,,1,,2,i1\n")
    (block,) = Table(tmp_path / "a.csv").blocks(("item", "user"))
    assert block.to_numpy().tolist() == [["i1", "u1"]]
    with pytest.raises(DataError, match=r"a\.csv has 2 columns named 'x'; rename all but one"):
        list(Table(tmp_path / "a.csv").blocks(("x",)))


def test_names_of_other_columns_of_a_workbook_may_be_equal(tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed ([data])")
    book = openpyxl.Workbook()
    for row in (("user", None, None, "x", "x", "item"), ("u1", 1, 2, 3, 4, 7.0)):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    (block,) = Table(tmp_path / "a.xlsx").blocks(("item", "user"))
    assert block.to_numpy().tolist() == [["7", "u1"]]
    with pytest.raises(DataError, match="has 2 columns named 'x'"):
        list(Table(tmp_path / "a.xlsx").blocks(("x",)))


@pytest.mark.parametrize("separator", ["", "\n", '"', "\0"])
def test_a_separator_that_cannot_separate_is_refused(tmp_path, separator):
    with pytest.raises(ConfigError, match="cannot separate cells"):
        Table(tmp_path / "a.csv", separator=separator)


def test_a_byte_order_mark_is_no_part_of_a_name_whatever_utf_8_is_called(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfuser\nu1\n")
    for encoding in ("utf-8", "UTF8", "utf-8-sig"):
        assert next(Table(tmp_path / "a.csv", encoding=encoding).blocks(("user",)))["user"].tolist() == ["u1"]


def test_objects_stay_only_where_text_is_made_of_them(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"item": {"id": 1}, "tags": {"a": [1]}}\n')
    assert next(Table(tmp_path / "a.jsonl").blocks(("tags",), nested=("tags",)))["tags"].tolist() == [{"a": [1]}]
    with pytest.raises(DataError, match=r"a\.jsonl, column 'item': .* is an object; give a column of text or numbers"):
        list(Table(tmp_path / "a.jsonl").blocks(("item",)))


def test_numbers_of_json_keep_all_their_digits(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"t": 1700000000.000000001}\n{"t": 2.5}\n{"t": 3.0}\n')
    assert next(Table(tmp_path / "a.jsonl").blocks(("t",)))["t"].tolist() == ["1700000000.000000001", "2.5", "3"]


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
@pytest.mark.parametrize("seed", range(12))
def test_damaged_binary_tables_are_refused_or_read(tmp_path, name, seed):
    """Twenty flipped bytes, or a cut: never an error of another kind."""
    draw = np.random.default_rng(seed)
    raw = bytearray(WRITERS[name](tmp_path / name).read_bytes())
    for place in draw.integers(0, len(raw), 20):
        raw[place] ^= int(draw.integers(1, 256))
    (tmp_path / name).write_bytes(raw if seed % 3 else raw[: len(raw) // 2])
    try:
        list(Table(tmp_path / name).blocks(NAMES))
    except DataError as problem:
        assert name in str(problem) and "\n" not in str(problem)


def test_a_quote_in_a_tab_separated_file_is_a_character(tmp_path):
    (tmp_path / "a.tsv").write_text('item\tname\n1\t"Best ruler\n2\tb\n3\t"c"\n')
    (block,) = Table(tmp_path / "a.tsv").blocks(("item", "name"))
    assert block.to_numpy().tolist() == [["1", '"Best ruler'], ["2", "b"], ["3", '"c"']]


def test_separators_of_any_length_are_literal(tmp_path):
    (tmp_path / "a.dat").write_text("item||name\n1||a|b\n")
    (block,) = Table(tmp_path / "a.dat", separator="||").blocks(("name", "item"))
    assert block[["item", "name"]].to_numpy().tolist() == [["1", "a|b"]]


def test_a_separator_is_for_text_files_alone(tmp_path):
    (block,) = Table(write_json(tmp_path / "a.jsonl"), separator=";", encoding="latin-1").blocks(("user",))
    assert block["user"].tolist() == [row[0] for row in ROWS]


def test_an_unknown_encoding_is_named(tmp_path):
    with pytest.raises(ConfigError, match="encoding 'ansi' is unknown"):
        Table(tmp_path / "a.csv", encoding="ansi")


def test_numbers_of_json_lines_are_tokens_without_a_point(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"item": 7, "tags": ["a", "b"]}\n{"item": 8.0, "tags": null}\n{"tags": []}\n')
    (block,) = Table(path).blocks(("item", "tags"), nested=("tags",))
    assert block["item"].tolist() == ["7", "8", None] and block["tags"].tolist() == [["a", "b"], None, []]
    (block,) = Table(path).blocks(("tags",))
    assert block["tags"].tolist()[0] == "a b"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", None, "does not exist"),
        ("a.doc", b"x", r"\.doc is not a supported format"),
        ("a.csv", b"user,item\n\xff,1\n", "line 2: not valid utf-8 text"),
        ("a.csv.gz", gzip.compress(b"user,item\n" + bytes(range(97, 123)) * 99, mtime=0)[:60], "damaged or cut short"),
        ("a.csv.gz", b"user,item\n", "damaged or cut short"),
        ("a.jsonl", b'{"user": 1}\n{"user": \n', "line 2: not valid JSON"),
        ("a.csv", b'user,item\n"x,1\ny,2\n', "line 2: a quote opens a cell that does not end"),
        ("a.jsonl", b'{"user": ' + b"[" * 100_000, "line 1: not valid JSON"),
        ("a.jsonl", b'{"user": "a\0b"}\n', "line 1: not valid JSON"),
        ("a.jsonl", b"[1]\n", "line 1: expected a JSON object, found"),
        ("a.jsonl", b"<!DOCTYPE html>\n", "is an HTML page, not data"),
        ("a.parquet", b"PAR", "cannot be read as Parquet"),
        ("a.xlsx", b"PK", "cannot be read as an Excel workbook"),
    ],
)
def test_bad_files_say_what_is_wrong(name, content, message, tmp_path):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed ([data])")
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl", reason="openpyxl is not installed ([data])")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(Table(tmp_path / name).blocks(("user",)))


@pytest.mark.parametrize("name, package", [("a.parquet", "pyarrow"), ("a.xlsx", "openpyxl")])
def test_a_missing_package_names_the_extra(name, package, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(DependencyError, match=rf"needs {package}.*recbole-mpo\[data\]"):
        list(Table(tmp_path / name).blocks(("user",)))


def test_json_lines_tell_where_a_file_breaks_off(tmp_path):
    content = "".join(json.dumps({"n": number, "x": "y" * number}) + "\n" for number in range(2000))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(content.encode(), mtime=0)[:3000])
    with pytest.raises(DataError, match=r"damaged or cut short after line [\d,]+"):
        list(json_lines(path))


@pytest.mark.parametrize(("separator", "option"), [(";", "';'"), ("\t", "tab"), ("|", "'|'")])
def test_another_separator_is_recognised_by_the_header(tmp_path, separator, option):
    path = tmp_path / "orders.csv"
    path.write_text(separator.join(["receipt", "customer number", "article"]) + "\n" + separator.join("123") + "\n")
    with pytest.raises(DataError) as caught:
        list(Table(path).blocks(("customer number",)))
    assert str(caught.value).endswith(f"seem to be separated by {option}: give --separator={option}")


def test_a_missing_column_is_answered_with_the_options_that_name_columns(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("artikel,name\n1,lamp\n")
    with pytest.raises(DataError, match="its columns are artikel, name; .*--item_column"):
        list(Table(path).blocks(("article",)))
