"""Rows of a feature file by the tokens of a text file, or by numbers."""

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text import file_rows
from recbole_mpo.text.file_rows import rows_of_items

HEADER = "item_id:token\ttext:token_seq\n"


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setattr(file_rows, "TOKENS_AT_A_TIME", 2)
    path = tmp_path / "shop.text"
    path.write_text(f"{HEADER}b\tblue\na\tred\tand more\nü 1\t\nd\tx\r\n\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["T", object, "U4"])
def test_rows_are_lines_of_the_text_file(text, tmp_path, kind):
    kind = np.dtypes.StringDType() if kind == "T" else kind
    found = rows_of_items(text, tmp_path / "f.npy", np.array(["[PAD]", "a", "zz", "ü 1", "b"], dtype=kind))
    assert found.rows.tolist() == [1, -1, 2, 0] and found.rows.dtype == np.int64
    assert (found.count, found.first, found.source) == (4, "b", text)


def test_without_a_text_file_tokens_are_the_rows(tmp_path):
    tokens = np.array(["[PAD]", "3", "0", "x", "02", "9" * 30, "5", "-1"])
    found = rows_of_items(tmp_path / "none.text", tmp_path / "f.npy", tokens)
    assert found.rows.tolist() == [3, 0, -1, -1, -1, 5, -1] and (found.count, found.first) == (7, "0")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("x\n", DataError, "line 1: the header must be"),
        (HEADER, DataError, "no items after the header"),
        (f"{HEADER}a\tb\nc\n", DataError, "line 3: no item token and tab"),
        (f"{HEADER}a\tb\n\tc\n", DataError, "line 3: no item token and tab"),
        (f"{HEADER}a\tb\n\nc\td\n", DataError, "line 3: no item token and tab"),
        (f"{HEADER}a\tb\nc\td\na\te\n", FeatureError, "item 'a' occurs twice"),
        (b"\xff\xff", DataError, "not valid UTF-8"),
    ],
)
def test_a_malformed_text_file_is_refused(text, tmp_path, content, error, message):
    text.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=message):
        rows_of_items(text, tmp_path / "f.npy", np.array(["[PAD]", "a"]))


def test_numbers_of_the_release_are_refused(text, tmp_path):
    text.with_suffix(".item2index").write_text("a\t0\n")
    with pytest.raises(FeatureError, match=r"too large to be read with shop\.item2index"):
        rows_of_items(text, tmp_path / "f.npy", np.array(["[PAD]", "a"]))
