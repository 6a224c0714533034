"""Damaged atomic files are refused with the line; no row is lost without a word."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data import atomic_reader
from recbole_mpo.data.atomic_reader import read_atomic

HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def atomic(folder, *rows):
    path = folder / "shop.inter"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def refusal(path) -> str:
    with pytest.raises(DataError, match=r"shop\.inter") as caught:
        read_atomic(path, None)
    return str(caught.value)


@pytest.mark.parametrize("zeros", ["\0", "\0" * 4096])
@pytest.mark.parametrize("row", ["a\t12{}34\t2", "a{}", "{}"])
def test_zeroed_bytes_name_their_line(tmp_path, zeros, row):
    """A cell that pandas ends at a NUL is another item; a zeroed block loses the rows in it."""
    path = atomic(tmp_path, "a\tx\t1", row.format(zeros), "b\ty\t2")
    assert "line 3: a NUL byte" in refusal(path)


def test_rows_that_pandas_would_lose_are_refused(tmp_path, monkeypatch):
    path = atomic(tmp_path, "a\tx\t1", "b\ty\t2")
    monkeypatch.setattr(atomic_reader, "_read_columns", lambda *_: {"user_id": ["a"]})
    assert "has 2 rows, of which 1 can be read" in refusal(path)


def test_the_name_of_the_padding_is_no_token(tmp_path):
    assert "line 3: column 'item_id' holds [PAD]" in refusal(atomic(tmp_path, "a\tx\t1", "a\t[PAD]\t2"))


@pytest.mark.parametrize(
    ("header", "row"),
    [(HEADER, "a\tx\t{}"), (HEADER + "{}", "a\tx\t1"), ("user_id:token\tvector:float_seq", "a\t1 {}")],
)
def test_a_long_cell_is_shown_in_part(tmp_path, header, row):
    """A file whose separators are damaged has cells of any length."""
    path = tmp_path / "shop.inter"
    path.write_text("\n".join((header, row)).format("x" * 100_000, "x" * 100_000))
    assert len(refusal(path)) < 500 and "xxx ... xxx" in refusal(path)


@pytest.mark.parametrize("value", ["nan", "1e400", "x"])
def test_a_sequence_holds_finite_numbers(tmp_path, value):
    path = tmp_path / "shop.inter"
    path.write_text(f"user_id:token\tvector:float_seq\na\t1 2\na\t3 {value}\n")
    assert f"line 3: column 'vector' holds {value!r}, which is not a number" in refusal(path)
