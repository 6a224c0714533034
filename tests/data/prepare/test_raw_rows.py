"""Raw rows become interactions: tokens numbered, times read, unusable rows counted; texts wait in a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare import table_files
from recbole_mpo.data.prepare.raw_rows import Columns, TextSpool, check_tokens, read_interactions
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


@given(st.dictionaries(st.integers(0, 9), st.text(max_size=20)), st.lists(st.integers(0, 9)))
def test_texts_come_back_in_any_order(texts, asked):
    spool = TextSpool(10)
    for item, text in texts.items():
        spool.add(item, text)
    readable = {item: text.encode("utf-8", errors="replace").decode() for item, text in texts.items()}
    assert list(spool.texts(asked)) == [readable.get(item, "") for item in asked]
    assert np.flatnonzero(spool.present).tolist() == sorted(texts) == [item for item in range(10) if item in spool]
