"""Reading item texts: what counts as a line, a token, a text, and what each mistake says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.item_text import HEADER, is_missing, read_item_text

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def write(tmp_path):
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "Toy.text"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_reads_tokens_and_texts_in_file_order(write):
    path = write(f"{HEADER}\nb\tBlue bolt.\na\tAn axe.\n")
    item_text = read_item_text(path)
    assert item_text.tokens == ["b", "a"]
    assert item_text.texts == ["Blue bolt.", "An axe."]
    assert item_text.source == path and len(item_text) == 2


def test_quotes_later_tabs_and_unicode_separators_belong_to_the_text(write):
    text = '3/4" bolt, "steel\tgrey\u2028and\x85more'
    assert read_item_text(write(f"{HEADER}\n0\t{text}\n1\tx")).texts == [text, "x"]


def test_windows_line_ends_byte_order_mark_and_empty_last_lines(write):
    item_text = read_item_text(write(b"\xef\xbb\xbf" + f"{HEADER}\r\n0\tone\r\n1\ttwo\r\n\r\n".encode()))
    assert item_text.tokens == ["0", "1"] and item_text.texts == ["one", "two"]


def test_item_with_an_empty_text_is_kept(write):
    assert read_item_text(write(f"{HEADER}\n0\t\n1\tx\n")).texts == ["", "x"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"Toy\.text, line 1: the header must be .* found an empty file"),
        (
            "item_id:token\ttitle:token_seq\n0\tx\n",
            r"line 1: the header must be 'item_id:token\\ttext:token_seq'",
        ),
        (f"{HEADER}\n", "no items after the header"),
        (f"{HEADER}\n0\tx\n1 no tab\n", r"Toy\.text, line 3: no tab between item and text in '1 no tab'"),
        (f"{HEADER}\n0\tx\n\n1\ty\n", "line 3: no tab"),
        (f"{HEADER}\n\tx\n", "line 2: the item token before the tab is empty"),
        (f"{HEADER}\n7\tx\n8\ty\n7\tz\n", r"line 4: item '7' already has a text in line 2"),
        (f"{HEADER}\n0\tx\n1\t".encode() + b"caf\xe9\n", r"Toy\.text, line 3: not UTF-8 \(byte 0xe9\)"),
    ],
)
def test_mistakes_name_file_and_line(write, content, message):
    with pytest.raises(DataError, match=message):
        read_item_text(write(content))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"Toy\.text: cannot read the item texts \(No such file"):
        read_item_text(tmp_path / "Toy.text")


@pytest.mark.parametrize("text", ["", " ", ".", "?.", "-- !", "★", "_"])
def test_text_without_letter_or_digit_is_missing(text):
    assert is_missing(text)


@pytest.mark.parametrize("text", ["a", "7.", "é", "笔", "½", ". x"])
def test_text_with_a_letter_or_digit_of_any_script_is_present(text):
    assert not is_missing(text)


TOKENS = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1)
TEXTS = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))


@given(items=st.dictionaries(TOKENS, TEXTS, min_size=1))
def test_what_is_written_is_read(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("text") / "Toy.text"
    path.write_bytes("\n".join([HEADER, *(f"{token}\t{text}" for token, text in items.items())]).encode())
    item_text = read_item_text(path)
    assert dict(zip(item_text.tokens, item_text.texts, strict=True)) == items


@pytest.mark.parametrize(
    ("name", "items", "missing"), [("Scientific", 4385, 0), ("Beauty", 12101, 7), ("OR", 3469, 1)]
)
def test_real_files(name, items, missing):
    path = SHARED_DATA / name / f"{name}.text"
    if not path.is_file():
        pytest.skip(f"the data set {name} is not beside this checkout (../shared/data)")
    item_text = read_item_text(path)
    assert len(item_text) == items
    assert sum(map(is_missing, item_text.texts)) == missing
