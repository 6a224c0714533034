"""An item's first text that says something is kept, wherever texts are stored; the rest is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.data.prepare.item_texts import FirstTexts, TextSpool


@pytest.mark.parametrize("kept", [dict, lambda: TextSpool(9)])
@pytest.mark.parametrize(
    "titles, expected, contradictions",
    [
        (["Lamp"], "Lamp.", 0),
        ([None, "Lamp"], "Lamp.", 0),
        (["--", "", "Lamp", "Lamp", None], "Lamp.", 0),
        (["Lamp", "Cup", "Lamp", "..", "Bowl"], "Lamp.", 2),
        (["--", None], "--.", 0),
        ([None], "", 0),
    ],
)
def test_the_first_usable_text_wins_and_contradictions_are_counted(kept, titles, expected, contradictions):
    first = FirstTexts(kept(), ("title",))
    for title in titles:
        first.add(3, {"title": title})
    assert dict(first.kept) == {3: expected}
    assert first.contradictions == contradictions
    words = (
        f"{contradictions} records repeat an item with another text; the first text with a letter or digit was kept."
    )
    assert first.remarks() == ((words,) if contradictions else ())


def test_fields_that_are_left_out_for_their_length_are_counted():
    first = FirstTexts({}, ("title", "story"))
    for item in range(3):
        first.add(item, {"title": f"Lamp {item}", "story": "x" * (1998 + item)})
    assert first.kept[2] == "Lamp 2." and first.kept[0].endswith("x.")
    assert first.remarks() == ("2 values of 'story' have 2,000 or more characters and were left out.",)


def test_texts_made_elsewhere_are_taken_too():
    first = FirstTexts({})
    for text in (".", "A.", "B."):
        first.add_text("x", text)
    assert first.kept == {"x": "A."} and first.contradictions == 1


@given(st.dictionaries(st.integers(0, 9), st.text(max_size=20)), st.lists(st.integers(0, 9)))
def test_spooled_texts_come_back_in_any_order(texts, asked):
    spool = TextSpool(10)
    for item, text in texts.items():
        spool[item] = "earlier"
        spool[item] = text
    readable = {item: text.encode("utf-8", errors="replace").decode() for item, text in texts.items()}
    assert list(spool.texts(asked)) == [readable.get(item, "") for item in asked]
    assert np.flatnonzero(spool.present).tolist() == sorted(texts) == list(spool)
    assert len(spool) == len(texts)
    for item in texts:
        del spool[item]
    assert len(spool) == 0 and not list(spool)
