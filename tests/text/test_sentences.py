"""Fields become sentences; category, brand and title words are read from them again."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.text.item_text import read_item_text
from recbole_mpo.text.sentences import clean_field, item_attributes, item_metadata, item_sentence, telling_names

RED, BLUE = "Red lamp. Home Lighting Lamps. Lumo.", "Blue lamp. Home Kitchen. Acme."
TEXTS = ["", RED, RED, RED, BLUE, BLUE, BLUE, "Home alone. . Acme."]


def names_of(table, names, row):
    return {names[column] for column in table[row].indices}


def test_category_words_and_whole_sentences_are_attributes():
    names, table = item_attributes(TEXTS, least=3)
    assert names_of(table, names, 1) == {"home lighting lamps", "lighting", "lamps", "lumo"}
    # 'home' is in six of eight texts: it tells nothing.
    assert names_of(table, names, 4) == {"home kitchen", "kitchen", "acme"}
    assert names_of(table, names, 7) == {"acme"} and names_of(table, names, 0) == set()
    assert table.shape == (8, len(names)) and table.dtype == bool


def test_rare_attributes_are_left_out():
    names, _ = item_attributes(TEXTS, least=4)
    assert names == ["acme"]


def test_words_of_a_title_stand_in_where_there_is_nothing_else():
    names, table = item_attributes(["red lamp.", "blue lamp.", "red cup 30cm.", "an ox."], least=2)
    assert names == ["lamp", "red"] and names_of(table, names, 2) == {"red"}


# Fields to sentences


def test_fields_are_cleaned_as_the_recipe_says():
    assert clean_field(["a", "b..."]) == "a b."
    assert clean_field('&quot;5&#39; "rod"\r\n') == "5' rod."
    assert clean_field("x" * 1998) == "x" * 1998 + "." and clean_field("x" * 1999) == ""
    assert clean_field("") == "." and clean_field(None) == ""
    assert item_sentence({"category": ["Only category"], "brand": None}, ("title", "category", "brand")) == (
        "Only category."
    )
    too_long = {"title": "<b>" + "x" * 2000, "category": [], "brand": ""}
    assert item_sentence(too_long, ("title", "category", "brand")) == ". ."


def test_official_texts_could_come_of_this_cleaning(shared_data):
    """UniSRec's own Scientific.text ends every field with one full stop and holds no quote."""
    texts = read_item_text(shared_data / "Scientific" / "Scientific.text").texts
    assert all(clean_field(text) == text for text in texts if len(text) < 1999 and "&" not in text)


@given(st.text(max_size=100))
def test_a_cleaned_field_fits_a_line_and_cleaning_it_again_changes_nothing(value):
    sentence = clean_field(value)
    assert sentence.endswith(".") and not sentence.endswith("..")
    assert not set('"\n\r\t\v\f\x00') & set(sentence) or "&" in value
    if "&" not in value:
        assert clean_field(sentence) == sentence


# Metadata


def test_metadata_are_read_from_the_end_of_texts_that_have_them():
    texts = ["", "Red lamp No. 5. Home Lighting. Lumo.", "Blue &amp; small cup. Home Kitchen. Acme.", "Lone title."]
    metadata = item_metadata(texts)
    assert metadata.brands == ["", "lumo", "acme", ""]
    assert metadata.categories == ["", "home lighting", "home kitchen", ""]
    assert metadata.title_words == [set(), {"red", "lamp"}, {"blue", "small", "cup"}, {"lone", "title"}]


@pytest.mark.parametrize("count, has_metadata", [(1, False), (2, True)])
def test_texts_are_titles_alone_unless_most_of_them_have_three_sentences(count, has_metadata):
    texts = ["", *["Dr. Who. A tale. Lumo."] * count, "red lamp."]
    metadata = item_metadata(texts)
    assert (metadata.brands[1] == "lumo") == has_metadata
    assert metadata.title_words[1] == ({"who"} if has_metadata else {"who", "tale", "lumo"})


# Telling names


@given(st.lists(st.sets(st.sampled_from("abcdef")), max_size=20), st.integers(1, 4), st.floats(0, 1))
def test_telling_names_are_those_a_loop_over_all_names_keeps(names_of_items, least, share):
    def is_telling(name):
        count = sum(name in names for names in names_of_items)
        return count >= least and (count == least or count <= share * len(names_of_items))

    assert telling_names(names_of_items, least, share) == {name for name in "abcdef" if is_telling(name)}


@pytest.mark.parametrize(
    "value, sentence",
    [
        (["Home", ["Kitchen", ["Lamps"]], None], "Home Kitchen Lamps."),
        ({"Brand": "Acme", "Size": [1, 2], "Colour": None}, "Brand Acme Size 1 2."),
        ([{"a": {"b": "c"}}], "a b c."),
        ([], "."),
        ({}, "."),
    ],
)
def test_lists_in_lists_and_objects_become_words(value, sentence):
    assert clean_field(value) == sentence


def test_fields_left_out_for_their_length_are_counted():
    too_long = Counter()
    record = {"title": "x" * 1998, "story": "y" * 1999, "brand": None}
    assert item_sentence(record, ("title", "story", "brand"), too_long) == "x" * 1998 + "."
    assert too_long == {"story": 1}
