"""Separated cells: every row arrives whole, or its loss is told."""

import csv
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.separated import blocks_of_rows, separated_rows


def rows(path, content, separator=",", encoding="utf-8", per_block=2):
    data = content if isinstance(content, bytes) else content.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    lines = separated_rows(path, separator, encoding)
    _, names = next(lines)
    blocks = blocks_of_rows(lines, names, names, path, per_block)
    return [row for block in blocks for row in block.to_numpy().tolist()]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("separator", [",", "\t", "::", "é"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_rows_arrive_in_order(tmp_path, name, separator, encoding):
    content = "\r\n".join(separator.join(cells) for cells in (("a", "b"), ("1", "ü"), ("", "2"), ("3", ""))) + "\r\n"
    assert rows(tmp_path / name, content, separator, encoding) == [["1", "ü"], ["", "2"], ["3", ""]]


@pytest.mark.parametrize("separator", [",", "::"])
@pytest.mark.parametrize("rows_before", [0, 5])
@pytest.mark.parametrize(
    "row, message",
    [
        ("1,2,3,4", r"line {} has more than 3 cells: \['1', '2', '3', '4'\]; quote cells that contain"),
        ("1,2,3,,5", r"line {} has more than 3 cells: \['1', '2', '3', '', '5'\]"),
        ("1,2", r"line {} has fewer than 3 cells: \['1', '2'\]; the file is damaged"),
        ("1", r"line {} has fewer than 3 cells"),
    ],
)
def test_ragged_rows_are_refused(tmp_path, separator, rows_before, row, message):
    lines = ["a,b,c", *["x,y,z"] * rows_before, "", row, "x,y,z"]
    content = "\n".join(lines).replace(",", separator)
    with pytest.raises(DataError, match=message.format(rows_before + 3)):
        rows(tmp_path / "a.csv", content, separator)


def test_empty_cells_after_the_last_one_and_blank_lines_do_not_count(tmp_path):
    assert rows(tmp_path / "a.csv", "a,b\n1,2,,\n\n   \n,\n") == [["1", "2"], ["", ""]]


@pytest.mark.parametrize("separator", [",", "\t", "::"])
@pytest.mark.parametrize("cell", ["12\0 34", "\0" * 4096])
def test_nul_bytes_name_their_line(tmp_path, separator, cell):
    """Pandas ends a cell at a NUL, so that item 12 NUL 34 would be item 12."""
    content = f"a,b\nx,y\n{cell},z\n".replace(",", separator)
    with pytest.raises(DataError, match=r"a\.csv, line 3: a NUL byte; the file is damaged"):
        rows(tmp_path / "a.csv", content, separator)


def test_lines_inside_quoted_cells_are_counted(tmp_path, caplog):
    assert rows(tmp_path / "a.csv", 'a,b\n1,"x"\n2,y\n') == [["1", "x"], ["2", "y"]] and not caplog.text
    found = rows(tmp_path / "a.csv", 'a,b\n1,"5\n2,x\n3,y\n4,6"\n5,z\n')
    assert found == [["1", "5\n2,x\n3,y\n4,6"], ["5", "z"]]
    assert "a.csv: 3 lines are inside quoted cells" in caplog.text and "stray quote has swallowed rows" in caplog.text


def test_a_quote_that_is_never_closed_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv, line 2: a quote opens a cell that does not end; remove it"):
        rows(tmp_path / "a.csv", 'a,b\n1,"5\n2,x\n')


def test_a_cell_that_swallows_very_many_rows_is_refused(tmp_path):
    content = 'a,b\n1,2\n3,"5\n' + "4,6\n" * 50_000 + '7,"\n'
    with pytest.raises(DataError, match=r"a\.csv, line 3: field larger than .*; a stray quote may have swallowed rows"):
        rows(tmp_path / "a.csv", content)


CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)


@given(table=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=6), per_block=st.integers(1, 4))
def test_what_is_written_as_csv_is_read(tmp_path_factory, table, per_block):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "b"], *table])
    assert rows(path, path.read_bytes(), per_block=per_block) == table
