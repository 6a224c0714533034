"""Search for titles: all words occur, titles that begin like the query come first."""

import numpy as np
import pytest

from recbole_mpo.release.title_search import MOST_WORDS, TitleSearch

TITLES = {
    "a": "Steel ruler, 12 inch",
    "b": "Wooden RULER",
    "c": "Ruler of steel",
    "d": "Unsteel thing with a ruler",
    "e": "Größe STRASSE",
    "f": "",
}


@pytest.fixture
def search():
    return TitleSearch(["[PAD]", *TITLES, "without"], TITLES)


def tokens(found):
    return [token for token, _ in found]


def test_all_words_must_occur_in_any_order(search):
    assert set(tokens(search.find("ruler steel"))) == {"a", "c", "d"}
    assert search.find("ruler glass") == []
    assert search.find("wooden ruler") == [("b", "Wooden RULER")]


def test_the_beginning_of_a_title_comes_first_then_beginnings_of_words(search):
    assert tokens(search.find("steel r")) == ["a", "c", "d"]
    assert tokens(search.find("ruler")) == ["c", "a", "b", "d"]
    assert tokens(search.find("  RULER  OF ")) == ["c"]
    assert tokens(search.find("steel", limit=2)) == ["a", "c"]


def test_capitals_do_not_matter_in_any_script(search):
    assert tokens(search.find("GRÖSSE straße")) == ["e"]


def test_a_word_counts_once_and_only_so_many_are_read(search):
    assert search.find("ruler " * 1000) == search.find("ruler") != []
    others = " ".join(f"word{number}" for number in range(MOST_WORDS))
    assert search.find(f"ruler {others}") == []
    assert search.find("r " * 5 + " ".join(["ruler"] * MOST_WORDS)) == search.find("r ruler")


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_no_word_finds_nothing(search, query):
    assert search.find(query) == [] == search.find("ruler", limit=0)


def test_patterns_are_not_read_as_such(search):
    assert search.find("12.inch") == [] == search.find(".*")


def test_many_titles_are_searched_at_once():
    words = np.array([f"word{number}" for number in range(2000)])
    rows = np.random.default_rng(0).integers(0, 2000, (100_000, 12))
    titles = {str(row): " ".join(words[picked]) for row, picked in enumerate(rows)}
    search = TitleSearch(["[PAD]", *titles], titles)
    found = search.find("word17 word18", limit=5)
    assert found and all("word17" in title and "word18" in title for _, title in found)


def test_titles_that_contain_a_text_in_any_case_and_their_order():
    search = TitleSearch(["[PAD]", "a", "b", "c", "d"], {"a": "Red STRASSE", "b": "blue", "d": "a red straße"})
    assert search.titled("rEd stras") == ["a", "d"] and search.titled("straße", ["d", "b", "x"]) == ["d"]
    assert search.titled("lamp") == search.titled("red", []) == []
