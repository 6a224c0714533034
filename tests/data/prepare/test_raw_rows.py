"""Raw rows become interactions: tokens numbered, times read, unusable rows counted."""

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare import table_files
from recbole_mpo.data.prepare.raw_rows import Columns, check_tokens, read_interactions
from recbole_mpo.data.prepare.table_files import Table

COLUMNS = Columns("user", "item", "when", ("rating",))


def write(path, *rows, header="user,item,when,rating"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return Table(path)


@pytest.mark.parametrize("rows_per_block", [1, 2, 100])
def test_rows_are_numbered_in_order_of_appearance_across_blocks(tmp_path, monkeypatch, rows_per_block):
    monkeypatch.setattr(table_files, "ROWS_PER_BLOCK", rows_per_block)
    table = write(tmp_path / "a.csv", "b,x,5,1", "a,y,3,2", "b,y,1.5,1", "a,x,2,")
    interactions, (ratings,) = read_interactions(table, COLUMNS)
    assert interactions.user_tokens.tolist() == ["b", "a"] and interactions.users.tolist() == [0, 1, 0, 1]
    assert interactions.item_tokens.tolist() == ["x", "y"] and interactions.items.tolist() == [0, 1, 1, 0]
    assert interactions.times.tolist() == [5, 3, 1.5, 2]
    assert ratings.tolist()[:3] == [0, 1, 0] and ratings[3] not in (0, 1)
    assert [(step.what, step.interactions, step.dropped) for step in interactions.steps] == [("rows of a.csv", 4, 0)]


def test_rows_without_user_item_or_time_are_counted_and_dropped(tmp_path):
    table = write(tmp_path / "a.csv", "b,x,5,1", ",x,5,1", "b,,5,1", "b,x, ,1")
    interactions, _ = read_interactions(table, COLUMNS)
    assert len(interactions) == 1
    assert [(step.interactions, step.dropped) for step in interactions.steps] == [(4, 0), (1, 3)]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], r"a\.csv has no row with 'user', 'item' and 'when'"),
        ([",x,5,1"], r"a\.csv has no row with 'user', 'item' and 'when'"),
        (["u,x,soon,1"], r"a\.csv, column 'when': 'soon' is neither a number nor a date"),
        (['u,"x\ty",5,1'], r"a\.csv, column 'item': 'x\\ty' contains a tab or a line end"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_interactions(write(tmp_path / "a.csv", *rows), COLUMNS)


@pytest.mark.parametrize("token", ["a\tb", "a\nb", "a\r"])
def test_tokens_that_would_break_a_line_are_refused(token):
    check_tokens(np.array(["a b", "ü"], dtype=object), "a.csv")
    with pytest.raises(DataError, match="a.csv: .* contains a tab or a line end; remove it from the token"):
        check_tokens(np.array(["a", token], dtype=object), "a.csv")


@pytest.mark.parametrize("token", ["a\0b", "a\ud800"])
def test_tokens_that_cannot_be_written_are_refused(token):
    """Half of a surrogate pair would become '?', so that two items could become one."""
    with pytest.raises(DataError, match="contains a NUL or half a character"):
        check_tokens(np.array(["a", token], dtype=object), "a.csv")


def test_the_name_of_the_padding_is_no_token():
    with pytest.raises(DataError, match=r"a\.csv: '\[PAD\]' is the name of the padding"):
        check_tokens(np.array(["a", "[PAD]"], dtype=object), "a.csv")


def test_microseconds_decide_the_order_and_what_is_a_duplicate(tmp_path):
    """Cut to milliseconds, the rows would keep the file's order, and the last one would be a duplicate of 'a'."""
    rows = [f"u,{item},1970-01-01T00:00:00.00000{digit}" for item, digit in zip("cbaa", "3219", strict=True)]
    table = write(tmp_path / "a.csv", *rows, header="user,item,when")
    interactions, _ = read_interactions(table, Columns("user", "item", "when"))
    interactions = interactions.without_duplicates(what="rows").in_order()
    assert interactions.item_tokens[interactions.items].tolist() == ["a", "b", "c", "a"]


def test_ids_of_whole_numbers_are_one_id_however_they_are_written(tmp_path):
    table = write(tmp_path / "a.csv", "7,1010,1,1", "7.0,1010.0,2,1", "v1.0,1010.5,3,1")
    interactions, _ = read_interactions(table, COLUMNS)
    assert interactions.user_tokens.tolist() == ["7", "v1.0"]
    assert interactions.item_tokens.tolist() == ["1010", "1010.5"]
    assert interactions.remarks == ("2 ids of a.csv are written like 1010.0 and were read as 1010.",)


def test_without_a_time_the_rows_are_in_order(tmp_path):
    table = write(tmp_path / "a.csv", "u,b,9,1", "u,,9,1", "u,a,8,1")
    interactions, _ = read_interactions(table, Columns("user", "item", None))
    assert interactions.times.tolist() == [0, 1]
    assert [step.what for step in interactions.steps] == ["rows of a.csv", "rows with user and item"]


class TestRatings:
    COLUMNS = Columns("user", "item", "when", rating="rating")

    def test_rows_with_a_smaller_rating_or_none_are_counted_and_dropped(self, tmp_path):
        table = write(tmp_path / "a.csv", "u,a,1,2.9", "u,b,2,3", "u,c,3,", "u,d,4,5.0", ",e,5,5")
        interactions, _ = read_interactions(table, self.COLUMNS, 3)
        assert interactions.item_tokens.tolist() == ["b", "d"]
        assert [(step.what, step.interactions, step.dropped) for step in interactions.steps] == [
            ("rows of a.csv", 5, 0),
            ("rows with user, item and time", 4, 1),
            ("rows with a rating of at least 3", 2, 2),
        ]

    @pytest.mark.parametrize(
        "cell, message",
        [
            ("good", "column 'rating': 'good' is not a number; give another --rating"),
            ("1", "no row with a 'rating' of"),
        ],
    )
    def test_a_rating_that_cannot_be_compared_is_told(self, tmp_path, cell, message):
        with pytest.raises(DataError, match=message):
            read_interactions(write(tmp_path / "a.csv", f"u,a,1,{cell}"), self.COLUMNS, 3)
