"""Histories of files: every form gives the same, and what is wrong is named by its line."""

from pathlib import Path

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.history_files import History, read_histories


def read(name, content):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(history.name, history.items) for history in read_histories(name)]


def test_lines_are_split_at_blanks_tabs_and_commas():
    histories = [("1", ["a", "b", "c"]), ("2", ["1e3", "007"]), ("3", ["d", "e"])]
    assert read("h.txt", "a b\tc\n1e3,007\r\nd, e") == histories
    assert read_histories("h.txt")[0] == History("1", ["a", "b", "c"])


def test_json_lines_hold_any_id():
    content = '["a b", "c,d", 7]\n{"items": ["e\\u2028f"], "user_id": "u 1"}\n'
    for ending in ("jsonl", "ndjson", "json"):
        assert read(f"h.{ending}", content) == [("1", ["a b", "c,d", "7"]), ("u 1", ["e\u2028f"])]


def test_a_table_is_grouped_by_user_in_the_files_order():
    rows = [("u2", "a b"), ("u1", "c,d"), ("u2", "e"), ("u1", "007")]
    expected = [("u2", ["a b", "e"]), ("u1", ["c,d", "007"])]
    assert read("h.csv", "user_id,item_id\n" + "".join(f'{user},"{item}"\n' for user, item in rows)) == expected
    assert read("h.tsv", "item_id\tuser_id\n" + "".join(f"{item}\t{user}\n" for user, item in rows)) == expected


@pytest.mark.parametrize(
    "times",
    [
        ["3", "1", "2"],
        ["0.0000000000000000003", "0.0000000000000000001", "0.0000000000000000002"],
        ["9007199254740995", "9007199254740993", "9007199254740994"],
        ["2024-01-01T00:00:00.000003", "2024-01-01T00:00:00.000001", "2024-01-01T00:00:00.000002"],
        ["2024-03-01", "2024-01-31", "2024-02-01"],
    ],
)
def test_a_timestamp_sorts_without_rounding(times):
    rows = "".join(f"u,{item},{time}\n" for item, time in zip("cab", times, strict=True))
    assert read("h.csv", "user_id,item_id,timestamp\n" + rows) == [("u", ["a", "b", "c"])]


def test_equal_times_keep_the_files_order():
    assert read("h.csv", "user_id,item_id,timestamp\nu,b,1\nu,a,1\n") == [("u", ["b", "a"])]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("h.txt", "a b\n", [("1", ["a", "b"])]),
        ("h.jsonl", '["a"]\n', [("1", ["a"])]),
        ("h.csv", "user_id,item_id\nu,a\n", [("u", ["a"])]),
    ],
)
def test_a_byte_order_mark_is_no_part_of_an_id(name, content, expected):
    assert read(name, b"\xef\xbb\xbf" + content.encode()) == expected


def test_capitals_of_the_ending_do_not_matter():
    assert read("H.CSV", "user_id,item_id\nu,a\n") == [("u", ["a"])]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("h.txt", "a b\n\nc\n", "h.txt, line 2: a history needs at least one item"),
        ("h.txt", "", "h.txt is empty; write one history per line"),
        ("h.txt", b"caf\xe9\n", "h.txt is not valid UTF-8:"),
        ("h.jsonl", "", "h.jsonl is empty"),
        ("h.jsonl", '["a"]\n["b"\n', "h.jsonl, line 2 is not valid JSON"),
        ("h.jsonl", "[" * 100_000, "h.jsonl, line 1 is not valid JSON"),
        ("h.jsonl", '["a"]\n\n', "h.jsonl, line 2 is not valid JSON"),
        ("h.jsonl", "[]", "line 1: a history needs a list of at least one item"),
        ("h.jsonl", '{"items": "a"}', "line 1: a history needs a list"),
        ("h.jsonl", '{"item": ["a"]}', 'line 1: write {"items": '),
        ("h.jsonl", '{"items": ["a"], "topk": 3}', 'line 1: write {"items": '),
        ("h.jsonl", '"a"', "line 1: a history needs a list"),
        ("h.jsonl", "[1.0]", "line 1: 1.0 is not an id; write ids as texts"),
        ("h.jsonl", "[true]", "line 1: true is not an id"),
        ("h.jsonl", '[["a"]]', "is not an id"),
        ("h.csv", "", "the columns must be user_id, item_id and, to sort by it, timestamp; there are none"),
        ("h.csv", "user_id,item_id\n", "h.csv is empty"),
        ("h.csv", "a,b\n", "there are 'a', 'b'"),
        ("h.csv", "user_id,item_id,time\nu,a,1\n", "there are 'user_id', 'item_id', 'time'"),
        ("h.csv", "user_id,item_id,item_id\nu,a,b\n", "the columns must be"),
        ("h.csv", "user_id,item_id\nu,a\nu\n", "h.csv, line 3: 1 cells instead of 2"),
        ("h.csv", "user_id,item_id\nu,\n", "h.csv, line 2: an empty item_id"),
        ("h.csv", "user_id,item_id\n,a\n", "h.csv, line 2: an empty user_id"),
        ("h.csv", 'user_id,item_id\nu,"a\n', "h.csv, line 2: unexpected end of data"),
        ("h.csv", "user_id,item_id,timestamp\nu,a,soon\n", "the timestamp 'soon' is neither a number nor a date"),
        ("h.csv", "user_id,item_id,timestamp\nu,a,nan\n", "line 2: the timestamp 'nan' is neither"),
        ("h.csv", "user_id,item_id,timestamp\nu,a,1\nu,b,2024-01-01\n", "user 'u' has times of several kinds"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(name, content, part):
    with pytest.raises(DataError) as caught:
        read(name, content)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file():
    with pytest.raises(DataError, match="histories file no.txt cannot be read: No such file"):
        read_histories("no.txt")
