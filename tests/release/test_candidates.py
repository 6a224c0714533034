"""Candidates: rows of tokens and texts, and what is left out."""

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.candidates import Candidates
from recbole_mpo.release.new_items import NewText


@pytest.fixture
def candidates():
    return Candidates(["[PAD]", "a", "b", "c"], {"a": "Red lamp"}, None)


def test_rows_are_those_of_tokens_and_texts(candidates):
    rows = candidates.rows(["c", NewText("blue"), "a"], {"blue": 4})
    assert rows.tolist() == [3, 4, 1]
    assert candidates.search.find("lamp") == [("a", "Red lamp")]


@pytest.mark.parametrize("history", [[], ["a", "x"], ["[PAD]"]])
def test_empty_and_unknown_histories(candidates, history):
    with pytest.raises(DataError, match="at least one item|unknown item 'x'|unknown item '\\[PAD\\]'"):
        candidates.rows(history, {})


@pytest.mark.parametrize(
    ("exclude", "among", "left_out"),
    [
        ((), None, [0]),
        (["b", "unknown"], None, [0, 2]),
        ((), ["b", "c", "unknown"], [0, 1]),
        (["b"], ["b", "c"], [0, 1, 2]),
        ((), [], [0, 1, 2, 3]),
        (["[PAD]"], ["[PAD]", "a"], [0, 2, 3]),
    ],
)
def test_what_is_left_out(candidates, exclude, among, left_out):
    assert candidates.left_out(exclude, among).tolist() == left_out
    assert candidates.left_out(exclude, among).dtype == np.int64


def test_a_limit_of_which_nothing_is_known(candidates):
    with pytest.raises(DataError, match="unknown item 'x', 'y'"):
        candidates.left_out((), ["x", "y"])


@pytest.mark.parametrize(("exclude", "among", "name"), [("ab", None, "exclude"), ((), "ab", "among")])
def test_a_text_is_no_list_of_tokens(candidates, exclude, among, name):
    with pytest.raises(DataError, match=f"{name} must be a list of tokens, not the text 'ab'"):
        candidates.left_out(exclude, among)
