"""Reading item texts: what counts as a line, a token, a text, and what each mistake says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.item_text import TEXT_HEADER, is_missing, read_dataset_text, read_item_text, text_file, texts_of


@pytest.fixture
def write(tmp_path):
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "Toy.text"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_reads_tokens_and_texts_in_file_order(write):
    path = write(f"{TEXT_HEADER}\nb\tBlue bolt.\na\tAn axe.\n")
    item_text = read_item_text(path)
    assert item_text.tokens == ["b", "a"]
    assert item_text.texts == ["Blue bolt.", "An axe."]
    assert item_text.source == path and len(item_text) == 2


def test_quotes_later_tabs_and_unicode_separators_belong_to_the_text(write):
    text = '3/4" bolt, "steel\tgrey\u2028and\x85more'
    assert read_item_text(write(f"{TEXT_HEADER}\n0\t{text}\n1\tx")).texts == [text, "x"]


def test_windows_line_ends_byte_order_mark_and_empty_last_lines(write):
    item_text = read_item_text(write(b"\xef\xbb\xbf" + f"{TEXT_HEADER}\r\n0\tone\r\n1\ttwo\r\n\r\n".encode()))
    assert item_text.tokens == ["0", "1"] and item_text.texts == ["one", "two"]


def test_item_with_an_empty_text_is_kept(write):
    assert read_item_text(write(f"{TEXT_HEADER}\n0\t\n1\tx\n")).texts == ["", "x"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"Toy\.text, line 1: the header must be .* found an empty file"),
        ("item_id:token\ttitle:token_seq\n0\tx\n", r"line 1: the header must be 'item_id:token\\ttext:token_seq'"),
        (f"{TEXT_HEADER}\n", "no items after the header"),
        (f"{TEXT_HEADER}\n0\tx\n1 no tab\n", r"Toy\.text, line 3: no tab between item token and text in '1 no tab'"),
        (f"{TEXT_HEADER}\n0\tx\n\n1\ty\n", "line 3: no tab"),
        (f"{TEXT_HEADER}\n\tx\n", "line 2: the item token before the tab is empty"),
        (f"{TEXT_HEADER}\n7\tx\n8\ty\n7\tz\n", r"line 4: item '7' already has a text in line 2"),
        (f"{TEXT_HEADER}\n0\tx\n1\ty" + 4096 * "\0" + "\n", r"Toy\.text, line 3: a NUL byte; the file is damaged"),
        (f"{TEXT_HEADER}\n0\tx\n1\t".encode() + b"caf\xe9\n", r"Toy\.text, line 3: not valid UTF-8 \(byte 0xe9\)"),
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


TOKENS = st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]), min_size=1)
TEXTS = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]))


@given(items=st.dictionaries(TOKENS, TEXTS, min_size=1))
def test_what_is_written_is_read(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("text") / "Toy.text"
    path.write_bytes("\n".join([TEXT_HEADER, *(f"{token}\t{text}" for token, text in items.items())]).encode())
    item_text = read_item_text(path)
    assert dict(zip(item_text.tokens, item_text.texts, strict=True)) == items


@pytest.mark.parametrize(("name", "items", "missing"), [("Scientific", 4385, 0), ("Beauty", 12101, 7), ("OR", 3469, 1)])
def test_real_files(shared_data, name, items, missing):
    item_text = read_item_text(shared_data / name / f"{name}.text")
    assert len(item_text) == items
    assert sum(map(is_missing, item_text.texts)) == missing


# Of a dataset


def test_the_text_of_each_token_keeps_the_order_of_the_file(write):
    item_text = read_item_text(write(f"{TEXT_HEADER}\nb\tBlue bolt.\na\tAn axe.\n"))
    assert list(item_text.by_token().items()) == [("b", "Blue bolt."), ("a", "An axe.")]


def test_the_file_stands_below_the_data_path(tmp_path):
    assert text_file(tmp_path, "Toy") == tmp_path / "Toy" / "Toy.text" == text_file(str(tmp_path), "Toy")


def test_texts_come_in_the_order_of_the_items_and_pad_has_none(write):
    path = write(f"{TEXT_HEADER}\n[PAD]\tnot this\nb\tBlue bolt.\na\tAn axe.\n")
    assert texts_of(path, ["[PAD]", "a", "c", "b"]) == ["", "An axe.", "", "Blue bolt."]


@pytest.fixture
def release(tmp_path):
    """Texts under raw ids; the interactions call the items 0, 1, 2; B0B has no text."""
    folder = tmp_path / "Rel"
    folder.mkdir()
    (folder / "Rel.text").write_text(f"{TEXT_HEADER}\nB0A\tapple pie\nB0C\tcherry cake\n")
    (folder / "Rel.item2index").write_text("B0C\t0\nB0A\t1\nB0B\t2\n")
    return folder


def test_texts_take_the_interactions_names_and_order(release):
    item_text = read_dataset_text(release / "Rel.text")
    assert (item_text.tokens, item_text.texts) == (["0", "1", "2"], ["cherry cake", "apple pie", ""])


def test_texts_under_numbers_stay(release):
    (release / "Rel.text").write_text(f"{TEXT_HEADER}\n1\tapple pie\n0\tcherry cake\n")
    assert read_dataset_text(release / "Rel.text").tokens == ["1", "0"]
