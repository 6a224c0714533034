"""Attributes are taken from category and brand, or from the words of a title."""

from recbole_mpo.text.sentences import item_attributes

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
