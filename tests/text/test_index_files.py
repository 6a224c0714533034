"""Index files tell numbers from raw names; names that are mere numbers mean nothing elsewhere."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.index_files import PAD, raw_names, read_index


def test_numbers_come_by_name_and_only_the_last_tab_separates(tmp_path):
    (tmp_path / "a.item2index").write_text("B0C\t0\nB\u2028A\t1\nan\told name\t2\n", encoding="utf-8")
    assert read_index(tmp_path / "a.item2index") == {"B0C": "0", "B\u2028A": "1", "an\told name": "2"}


@pytest.mark.parametrize(
    "content, message",
    [
        ("B0A 0\n", "line 1: expected a name, a tab"),
        ("a\t0\nb\t\n", r"a\.item2index, line 2: expected a name, a tab and a number, found 'b\\t'"),
        ("a\t0\nb\t-1\n", "line 2: expected"),
        ("a\t0\nb\t2\n", "do not count from 0 to 1"),
        ("a\t0\nb\t0\n", "line 2: its name or number is already in line 1"),
        ("a\t0\na\t1\n", "line 2: its name or number is already in line 1"),
        ("a\t0\na\t0\n", "line 2: its name or number is already in line 1"),
        ("a\t0\nb\t01\n", "line 2: expected"),
        ("a\t0\nb\0\t1\n", "line 2: a NUL byte"),
        ("", "do not count from 0"),
    ],
)
def test_a_broken_index_is_named(tmp_path, content, message):
    (tmp_path / "a.item2index").write_text(content)
    with pytest.raises(DataError, match=message):
        read_index(tmp_path / "a.item2index")


def test_bytes_of_another_encoding_name_their_line(tmp_path):
    (tmp_path / "a.item2index").write_bytes(b"a\t0\nJos\xe9\t1\n")
    with pytest.raises(DataError, match=r"a\.item2index, line 2: not valid UTF-8"):
        read_index(tmp_path / "a.item2index")


def test_raw_names_are_those_of_the_index_where_there_is_one(tmp_path):
    (tmp_path / "a.user2index").write_text("anna\t0\nbert\t1\n")
    assert raw_names(tmp_path / "a.user2index", [PAD, "1", "0", "7"]) == ["", "bert", "anna", ""]


def test_without_an_index_the_tokens_are_names_unless_they_are_mere_numbers(tmp_path):
    absent = tmp_path / "a.user2index"
    assert raw_names(absent, [PAD, "u1", "2"]) == [PAD, "u1", "2"]
    assert raw_names(absent, [PAD, "1", "2"]) == [] == raw_names(absent, [1, 2])
