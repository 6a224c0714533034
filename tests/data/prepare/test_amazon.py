"""Amazon's raw forms of 2018 and 2023 become the dataset that UniSRec's recipe describes."""

import gzip
import json

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.amazon import file_names, prepare_amazon
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import find_source

OLD, NEW = find_source("Pantry"), find_source("Scientific", "2023")
ITEMS = {
    "A1": {"title": 'Tea &amp; "Milk"\tbox...', "category": ["Grocery", "Tea"], "brand": "Löwe"},
    "A2": {"title": "<b>" + "x" * 2000, "category": [], "brand": ""},
    "A3": {"title": "emoji \ud83d half", "category": ["Snacks\nBars"]},
    "A4": {"category": ["Only category"], "brand": None},
}


def write_reviews(folder, source, rows):
    """(item, user, rating, time) rows in the source's form."""
    if source is OLD:
        path = folder / "r.csv"
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
        return path
    path = folder / "r.jsonl.gz"
    keys = ("parent_asin", "user_id", "rating", "timestamp")
    lines = [json.dumps({**dict(zip(keys, row, strict=True)), "text": "long <br>", "asin": "other"}) for row in rows]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def write_metadata(folder, source, items):
    names = {"category": "categories", "brand": "store"} if source is NEW else {}
    records = [
        {source.entry["item_field"]: item, **{names.get(key, key): value for key, value in fields.items()}}
        for item, fields in items
    ]
    path = folder / "m.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    return path


@pytest.mark.parametrize("source", [OLD, NEW], ids=["2018", "2023"])
class TestPreparation:
    def prepare(self, tmp_path, source, rows, items=None, k_core=0):
        items = list(ITEMS.items()) if items is None else items
        paths = write_reviews(tmp_path, source, rows), write_metadata(tmp_path, source, items)
        return prepare_amazon(source, *paths, Recipe(k_core, 1), show_progress=False)

    def test_histories_texts_and_what_was_dropped(self, tmp_path, source):
        rows = [
            ("A2", "u2", 5, 1_500_000_000_001),
            ("A1", "u1", 4, 1_500_000_000_003),
            ("A1", "u2", 5, 1_500_000_000_000),
            ("A1", "u2", 5, 1_500_000_000_000),  # twice the same review
            ("A1", "u2", 3, 1_500_000_000_000),  # the same pair with another rating stays
            ("X9", "u2", 5, 1_500_000_000_002),  # an item without metadata
            ("A3", "u1", 1, 1_500_000_000_003),
        ]
        prepared = self.prepare(tmp_path, source, rows)
        interactions = prepared.interactions
        assert interactions.user_tokens.tolist() == ["u2", "u1"]
        assert interactions.item_tokens[interactions.items].tolist() == ["A1", "A1", "A2", "A1", "A3"]
        assert interactions.times.tolist()[:3] == [1_500_000_000_000, 1_500_000_000_000, 1_500_000_000_001]
        assert [step.dropped for step in interactions.steps] == [0, 1, 1]
        assert prepared.texts[0] == "Tea & Milk box. Grocery Tea. Löwe."
        assert prepared.texts[2] == "emoji ? half. SnacksBars."

    def test_the_core_is_taken_after_items_without_metadata_have_gone(self, tmp_path, source):
        rows = [(f"A{item}", f"u{user}", 5, item) for item in (1, 2) for user in (1, 2)]
        rows += [("A1", "u3", 5, 1), ("X9", "u3", 5, 2)]
        prepared = self.prepare(tmp_path, source, rows, k_core=2)
        assert prepared.interactions.user_tokens.tolist() == ["u1", "u2"]

    def test_the_first_record_of_an_item_counts(self, tmp_path, source):
        items = [("A1", {"title": "first"}), ("A1", {"title": "second"})]
        assert self.prepare(tmp_path, source, [("A1", "u1", 5, 1)], items).texts == ["first."]

    def test_the_first_record_that_says_something_counts(self, tmp_path, source):
        items = [("A1", {}), ("A1", {"title": "--"}), ("A1", {"title": "tea"}), ("A1", {"title": "coffee"})]
        prepared = self.prepare(tmp_path, source, [("A1", "u1", 5, 1)], items)
        assert prepared.texts == ["tea."]
        assert prepared.remarks[0].startswith("1 records repeat an item with another text")

    def test_fields_left_out_for_their_length_are_told(self, tmp_path, source):
        prepared = self.prepare(tmp_path, source, [("A2", "u1", 5, 1)])
        assert prepared.remarks == ("1 values of 'title' have 2,000 or more characters and were left out.",)

    def test_nothing_is_told_of_items_whose_reviews_are_all_left_out(self, tmp_path, source):
        rows = [("A1", "u1", 5, 1), ("A2", "u1", 1, 2)]
        paths = write_reviews(tmp_path, source, rows), write_metadata(tmp_path, source, list(ITEMS.items()))
        prepared = prepare_amazon(source, *paths, Recipe(0, 1, min_rating=3), show_progress=False)
        assert prepared.interactions.item_tokens.tolist() == ["A1"] and prepared.remarks == ()

    def test_items_without_a_usable_id_are_no_items(self, tmp_path, source):
        items = [(["A1"], {"title": "list"}), (None, {"title": "none"}), ("A1", {"title": "tea"})]
        assert self.prepare(tmp_path, source, [("A1", "u1", 5, 1)], items).texts == ["tea."]

    def test_metadata_of_another_category_are_named(self, tmp_path, source):
        message = r"has none of the 1 items of .*: no (parent_)?asin is the first item, 'X1'; give two files of the"
        with pytest.raises(DataError, match=message):
            self.prepare(tmp_path, source, [("X1", "u1", 5, 1)])


def test_file_names_are_the_releases_own():
    assert file_names(OLD) == ("categoryFilesSmall/Prime_Pantry.csv", "metaFiles2/meta_Prime_Pantry.json.gz")
    assert file_names(NEW)[0] == "raw/review_categories/Industrial_and_Scientific.jsonl.gz"


def test_a_damaged_metadata_file_is_named(tmp_path):
    reviews = write_reviews(tmp_path, OLD, [("A1", "u1", 5, 1)])
    metadata = write_metadata(tmp_path, OLD, list(ITEMS.items()) * 50)
    metadata.write_bytes(metadata.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"m\.jsonl\.gz is damaged or cut short"):
        prepare_amazon(OLD, reviews, metadata, Recipe(0, 1), show_progress=False)
