"""Columns of atomic files: what may stand in a header, a line and a cell."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.data import atomic_reader
from recbole_mpo.data.atomic_files import Fields
from recbole_mpo.data.atomic_reader import read_atomic, read_header

HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def atomic(folder, *rows, header=HEADER, end="\n"):
    """An interaction file with these rows."""
    path = folder / "shop.inter"
    path.write_bytes(("\n".join([header, *rows]) + end).encode("utf-8"))
    return path


def refusal(path, columns=None) -> str:
    with pytest.raises(DataError) as caught:
        read_atomic(path, columns)
    message = str(caught.value)
    assert str(path) in message
    return message


# Header


def test_the_header_gives_names_and_types_in_file_order(tmp_path):
    path = atomic(tmp_path, header="user_id:token\titem_id_list:token_seq\trating:float\tvector:float_seq")
    expected = {"user_id": "token", "item_id_list": "token_seq", "rating": "float", "vector": "float_seq"}
    assert list(read_header(path, "\t", "utf-8").items()) == list(expected.items())


@pytest.mark.parametrize("column", ["item_id", "item_id:int", "item_id:Token", ""])
def test_a_column_without_a_known_type_is_an_error(tmp_path, column):
    message = refusal(atomic(tmp_path, header=f"user_id:token\t{column}"))
    assert "line 1" in message and repr(column) in message and "'name:type'" in message


def test_a_column_given_twice_is_an_error(tmp_path):
    message = refusal(atomic(tmp_path, "u\ti", header="item_id:token\titem_id:token"))
    assert "line 1" in message and "'item_id'" in message


def test_an_empty_file_is_an_error_in_line_1(tmp_path):
    path = tmp_path / "shop.inter"
    path.touch()
    assert "line 1" in refusal(path)


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in refusal(tmp_path / "shop.inter")


def test_a_missing_column_names_those_found_and_the_fix(tmp_path):
    message = refusal(atomic(tmp_path, "a\tx\t1"), ["user_id", "asin", "timestamp"])
    assert "no column 'asin'" in message
    assert "its columns are user_id, item_id, timestamp" in message
    assert "ITEM_ID_FIELD" in message and "load_col" in message


@pytest.mark.parametrize(
    "header, column, expected",
    [
        ("user_id:token\titem_id:token\ttimestamp:token", "timestamp", "timestamp:float"),
        ("user_id:token\titem_id:token\ttimestamp:float_seq", "timestamp", "timestamp:float"),
        ("user_id:float\titem_id:token\ttimestamp:float", "user_id", "user_id:token"),
        ("user_id:token\titem_id:token_seq\ttimestamp:float", "item_id", "item_id:token"),
        ("user_id:token\titem_id_list:token\titem_id:token", "item_id_list", "item_id_list:token_seq"),
    ],
)
def test_a_type_that_does_not_fit_what_the_column_means_is_an_error(tmp_path, header, column, expected):
    """Times read as tokens are sorted by first appearance, so that a user's oldest item becomes the target."""
    message = refusal(atomic(tmp_path, "1\t2\t3", header=header))
    assert "line 1" in message and repr(column) in message and f"write {expected} in the header" in message


def test_a_type_is_free_where_the_column_means_nothing_to_us(tmp_path):
    path = atomic(tmp_path, "a\tx\t1\tred", header="user_id:token\titem_id:token\twhen:token\tcolour:token_seq")
    assert len(read_atomic(path, None)[0]) == 1


def test_the_users_column_may_not_be_the_time(tmp_path):
    with pytest.raises(DataError, match="'item_id' has the type token"):
        read_atomic(atomic(tmp_path, "a\tx\t1"), None, Fields(time="item_id"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = atomic(tmp_path, "a\tx\t1", header="\ufeff" + HEADER)
    frame, _ = read_atomic(path, ["user_id"])
    assert frame["user_id"].tolist() == ["a"]


# Widths


def first_wrong_line(text: str, width: int, separator: str):
    """The specification, as a loop: number and columns of the first row that is not ``width`` wide."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        columns = line.count(separator) + 1
        if columns != width and line.strip(" "):
            return number, columns
    return None


@pytest.fixture(scope="module")
def scratch_file(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "shop.inter"


@given(
    parts=st.lists(st.sampled_from(["a", "é", " ", "\t", "::", ":", "\n", "\r", "\r\n"]), max_size=30),
    separator=st.sampled_from(["\t", "::", "é"]),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
    block=st.integers(1, 9),
)
def test_the_widths_of_rows_are_those_a_loop_over_lines_counts(scratch_file, parts, separator, encoding, block):
    """For every kind of line end, blank lines, long separators, and wherever one block of text ends."""
    text = "".join(parts)
    scratch_file.write_bytes(text.encode(encoding))
    wrong = first_wrong_line(text, 2, separator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic_reader, "BLOCK_CHARACTERS", block)
        if wrong is None:
            atomic_reader._check_lines(scratch_file, 2, separator, encoding)
            return
        with pytest.raises(DataError, match=f"line {wrong[0]} has {wrong[1]} columns, the header 2"):
            atomic_reader._check_lines(scratch_file, 2, separator, encoding)


# Cells


def test_only_the_wanted_columns_are_read_in_file_order(tmp_path):
    path = atomic(tmp_path, "a\tx\tno number", "b\ty\t")
    frame, types = read_atomic(path, {"item_id", "user_id"})
    assert list(frame) == ["user_id", "item_id"]
    assert types == {"user_id": "token", "item_id": "token"}
    assert frame["item_id"].tolist() == ["x", "y"]


def test_quotes_and_words_for_nothing_are_plain_text(tmp_path):
    tokens = ['"open', 'in"side', '"whole"', "'", "NA", "null", "nan", "None", "#N/A", "007", "1e3", " blank ", "é"]
    path = atomic(tmp_path, *(f"{token}\t{token}\t1" for token in tokens))
    frame, _ = read_atomic(path, None)
    assert frame["user_id"].tolist() == tokens
    assert frame["item_id"].tolist() == tokens


def test_lines_may_end_as_on_windows_and_the_last_one_not_at_all(tmp_path):
    path = atomic(tmp_path, "a\tx\t1\r", "b\ty\t2", header=HEADER + "\r", end="")
    frame, _ = read_atomic(path, None)
    assert frame.values.tolist() == [["a", "x", 1], ["b", "y", 2]]


def test_another_separator_and_encoding(tmp_path):
    path = tmp_path / "shop.inter"
    path.write_bytes("user_id:token,item_id:token\nJosé,x\n".encode("latin-1"))
    frame, _ = read_atomic(path, None, Fields(separator=",", encoding="latin-1"))
    assert frame.values.tolist() == [["José", "x"]]


@pytest.mark.parametrize("first", [1_700_000_000_000_001, 1_700_000_000_000_000_001])
def test_whole_times_are_kept_exactly(tmp_path, first):
    """Micro- and nanoseconds: neighbours that float64 (for the second) or float32 (for both) would merge."""
    times = [first, first + 1, first + 2]
    frame, _ = read_atomic(atomic(tmp_path, *(f"a\tx\t{time}" for time in times)), None)
    assert frame["timestamp"].dtype == np.int64
    assert frame["timestamp"].tolist() == times


def test_different_times_that_64_bits_cannot_hold_are_refused(tmp_path):
    path = atomic(tmp_path, "a\tx\t1700000000.000000002", "a\ty\t1700000000.000000001")
    assert "different times in column 'timestamp' are one number in 64 bits" in refusal(path)
    assert len(read_atomic(path, ["user_id", "item_id"])[0]) == 2


def test_times_with_seventeen_digits_keep_their_order(tmp_path):
    """Pandas reads both as 1700000000.765432."""
    path = atomic(tmp_path, "a\tx\t1700000000.7654325", "a\ty\t1700000000.7654321")
    assert read_atomic(path, None)[0]["timestamp"].tolist() == [1700000000.7654325, 1700000000.7654321]


def test_fractions_are_read_in_64_bits(tmp_path):
    frame, _ = read_atomic(atomic(tmp_path, "a\tx\t1700000000.25", "a\tx\t1.7e9"), None)
    assert frame["timestamp"].dtype == np.float64
    assert frame["timestamp"].tolist() == [1700000000.25, 1700000000.0]


@pytest.mark.parametrize("cell", ["yesterday", "", "nan", "inf", "1,5", "True"])
def test_a_cell_that_is_no_number_names_file_line_and_cell(tmp_path, cell):
    message = refusal(atomic(tmp_path, "a\tx\t1", f"a\ty\t{cell}", "a\tz\tlater"))
    assert "line 3" in message and "'timestamp'" in message and repr(cell) in message


@pytest.mark.parametrize(("row", "column"), [("\tx\t1", "user_id"), ("a\t\t1", "item_id"), ("\t\t", "user_id")])
def test_an_empty_token_names_file_line_and_column(tmp_path, row, column):
    message = refusal(atomic(tmp_path, "a\tx\t1", row))
    assert f"line 3: column {column!r} is empty" in message


@pytest.mark.parametrize("columns", [None, ["user_id", "item_id"]])
@pytest.mark.parametrize(("row", "found"), [("b\ty", 2), ("b\ty\t2\t3", 4), ("b", 1)])
def test_a_row_of_the_wrong_width_names_its_line(tmp_path, columns, row, found):
    """Also where the surplus or missing cells are not among the wanted columns: the others may have shifted."""
    message = refusal(atomic(tmp_path, "a\tx\t1", row, "c\tz\t3"), columns)
    assert f"line 3 has {found} columns, the header 3" in message


def test_blank_lines_are_skipped_and_still_counted(tmp_path):
    frame, _ = read_atomic(atomic(tmp_path, "a\tx\t1", "", "b\ty\t2", "", ""), None)
    assert frame["user_id"].tolist() == ["a", "b"]
    assert "line 4" in refusal(atomic(tmp_path, "a\tx\t1", "", "b\ty\tsoon"))
    assert "line 5" in refusal(atomic(tmp_path, "a\tx\t1", "", "", "\ty\t1"))


@pytest.mark.parametrize("rows_before", [1, 5_000], ids=["near the header", "far from it"])
def test_bytes_of_another_encoding_are_a_data_error(tmp_path, rows_before):
    path = tmp_path / "shop.inter"
    path.write_bytes(HEADER.encode() + b"\n" + b"a\tx\t1\n" * rows_before + b"Jos\xe9\tx\t1\n")
    assert f"line {rows_before + 2}: not valid utf-8 text" in refusal(path)


# Blocks


@pytest.fixture
def small_blocks(monkeypatch):
    """Two rows, or a few characters, at a time."""
    monkeypatch.setattr(atomic_reader, "BLOCK_ROWS", 2)
    monkeypatch.setattr(atomic_reader, "BLOCK_CHARACTERS", 8)


def test_tokens_are_categories_in_order_of_appearance_across_blocks(tmp_path, small_blocks):
    tokens = ["b", "a", "b", "c", "a", "10", "9", "c", "z"]
    frame, _ = read_atomic(atomic(tmp_path, *(f"{token}\tx\t1" for token in tokens)), None)
    assert frame["user_id"].cat.categories.tolist() == ["b", "a", "c", "10", "9", "z"]
    assert frame["user_id"].tolist() == tokens
    assert frame["item_id"].cat.categories.tolist() == ["x"]


@pytest.mark.parametrize(("cells", "dtype"), [
    (["1", "2", "3", "4", "5"], np.int64),
    (["1", "2", "3", "4.5", "5"], np.float64),
    (["1", "2", "18446744073709551615", "4", "5"], np.uint64),
])  # fmt: skip
def test_numbers_of_a_column_have_one_type_whatever_block_they_stand_in(tmp_path, small_blocks, cells, dtype):
    frame, _ = read_atomic(atomic(tmp_path, *(f"a\tx\t{cell}" for cell in cells)), None)
    assert frame["timestamp"].dtype == dtype
    assert frame["timestamp"].tolist() == [dtype(cell) for cell in cells]


@pytest.mark.parametrize(("row", "problem"), [
    ("a\tx\tsoon", "column 'timestamp' holds 'soon'"),
    ("a\t\t1", "column 'item_id' is empty"),
    ("a\tx", "has 2 columns"),
])  # fmt: skip
def test_errors_count_lines_from_the_first_block(tmp_path, small_blocks, row, problem):
    message = refusal(atomic(tmp_path, *["a\tx\t1"] * 6, "", row))
    assert "line 9" in message and problem in message


NUMBER_CELLS = "0 5 -3 +5 007 1.5 5. .5 1e3 1E-2 1e400 inf -inf nan True False 1_0 0x1 1,5 x".split()
NUMBER_CELLS += [" 5", "5 ", "", "-0", "9007199254740993", "9223372036854775808", "123456789012345678901234567890", "٥"]


@given(cells=st.lists(st.one_of(st.sampled_from(NUMBER_CELLS), st.integers().map(str), st.floats().map(str))))
def test_numbers_are_what_pandas_makes_of_the_cells_as_text(scratch_file, cells):
    """The quick reading takes no cell that the careful one refuses, and gives the same values."""
    rows = "".join(f"a\t{cell}\n" for cell in cells)
    scratch_file.write_text(f"user_id:token\trating:float\n{rows}", encoding="utf-8")
    expected = pd.to_numeric(pd.Series(cells, dtype=str), errors="coerce")
    bad = np.flatnonzero(~np.isfinite(expected.to_numpy(dtype=np.float64)))
    if len(bad):
        message = refusal(scratch_file)
        assert f"line {bad[0] + 2}: " in message and repr(cells[bad[0]]) in message
        return
    frame, _ = read_atomic(scratch_file, None)
    assert frame["rating"].dtype == expected.dtype or not cells
    assert frame["rating"].tolist() == expected.tolist()


# Sequences


@pytest.mark.parametrize("separator", [" ", ",", "||"])
def test_sequences_are_the_parts_of_their_cells(tmp_path, small_blocks, separator):
    """Empty parts are left out; a part may begin or end like the separator, or stand in several rows."""
    cells = ["a b c", "", "a", " b  c ", "|c a|", "é b", "a"]
    rows = [f"u\t{cell.replace(' ', separator)}" for cell in cells]
    path = atomic(tmp_path, *rows, header="user_id:token\titem_id_list:token_seq")
    frame, types = read_atomic(path, None, Fields(sequence_separator=separator))
    assert types["item_id_list"] == "token_seq"
    expected = [[part for part in cell.replace(" ", separator).split(separator) if part] for cell in cells]
    assert [history.tolist() for history in frame["item_id_list"]] == expected


def test_sequences_of_numbers_are_64_bit(tmp_path):
    path = atomic(tmp_path, "u\t0.5 1", "u\t", "u\t2", header="user_id:token\tvector:float_seq")
    vectors = read_atomic(path, None)[0]["vector"]
    assert [vector.tolist() for vector in vectors] == [[0.5, 1.0], [], [2.0]]
    assert {vector.dtype for vector in vectors} == {np.dtype(np.float64)}


def test_a_file_without_rows_gives_an_empty_frame(tmp_path):
    frame, _ = read_atomic(atomic(tmp_path, header=HEADER + "\thistory:token_seq"), None)
    assert len(frame) == 0
    assert list(frame) == ["user_id", "item_id", "timestamp", "history"]
