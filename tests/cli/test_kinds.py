"""Kinds of options: the values they read, and the message for text that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.cli.kinds import Choice, Number, Numbers, Text, Truth, Whole, WholeNumbers, Words
from recbole_mpo.common.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "007", "007"),
        (Text(), "a,b", "a,b"),
        (Words(), "a,b", ["a", "b"]),
        (Words(), "[a, b]", ["a", "b"]),
        (Words(), "a", ["a"]),
        (Words(), "1,2", ["1", "2"]),
        (Words(), "007,1e3,true", ["007", "1e3", "true"]),
        (Words(), "[007, no]", ["007", "no"]),
        (Words(), "007", ["007"]),
        (Words(), "'a,b'", ["a,b"]),
        (Choice("a", "b-c"), "b-c", "b-c"),
        (Number(), "1e-3", 0.001),
        (Number(), "2", 2.0),
        (Numbers("1,2"), "0.8,0.1,1e-1", [0.8, 0.1, 0.1]),
        (Numbers("1,2", may_be_one=True), "0.8", [0.8]),
        (Whole(), "0", 0),
        (Whole(least=1), "12", 12),
        (Truth(), "true", True),
        (Truth(), "False", False),
    ],
)
def test_text_is_read(kind, text, value):
    assert kind.read("key", text) == value
    assert type(kind.read("key", text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Choice("a", "b"), "c", "key is 'c'; choose one of a, b"),
        (Number(), "much", "key must be a number, not 'much'"),
        (Numbers("0.8,0.1,0.1"), "0.8", "key must be numbers like 0.8,0.1,0.1, not 0.8"),
        (Numbers("0.8,0.1,0.1"), "a,b", "key must be numbers like 0.8,0.1,0.1, not ['a', 'b']"),
        (Whole(), "-1", "key must be a whole number from 0 up, not -1"),
        (Whole(), "1.5", "key must be a whole number from 0 up, not 1.5"),
        (Whole(), "true", "key must be a whole number from 0 up, not True"),
        (Whole(), "", "key must be a whole number from 0 up, not None"),
        (Whole(least=1), "0", "key must be a positive whole number, not 0"),
        (WholeNumbers(), "1,b", "key must be whole numbers like NUMBER,NUMBER, not '1,b'"),
        (WholeNumbers(), "true", "key must be whole numbers like NUMBER,NUMBER, not 'true'"),
        (WholeNumbers(), "", "key must be whole numbers like NUMBER,NUMBER, not ''"),
        (Truth(), "1", "key must be true or false, not 1"),
        (Truth(), "", "key must be true or false, not None"),
    ],
)
def test_other_text_is_refused(kind, text, message):
    with pytest.raises(ConfigError) as raised:
        kind.read("key", text)
    assert str(raised.value) == message


@given(st.text())
def test_a_text_is_taken_as_it_is_written(text):
    assert Text().read("key", text) == text


@given(st.integers(min_value=0))
def test_every_whole_number_is_read(number):
    assert Whole().read("key", str(number)) == number
    assert WholeNumbers().read("key", str(number)) == [number]
    assert WholeNumbers().read("key", f"{number},3") == [number, 3]


@pytest.mark.parametrize("kind", [Text(), Words(), Choice("a"), Numbers()])
def test_lists_and_texts_may_be_empty(kind):
    assert kind.is_none("") and kind.is_none("~") and not kind.is_none("a")


@pytest.mark.parametrize("kind", [Whole(), WholeNumbers(), Number(), Truth()])
def test_numbers_and_truths_may_not(kind):
    assert not kind.is_none("")


def test_help_shows_what_is_wanted():
    kinds = [Text("FILE"), Words("A,A"), Choice("a", "b"), Whole(), Number(), Truth()]
    assert [kind.form for kind in kinds] == ["FILE", "A,A", "a|b", "NUMBER", "NUMBER", "true|false"]
