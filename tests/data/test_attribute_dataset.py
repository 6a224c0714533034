"""Attributes from item text in the place of an ``.item`` file: the right ones, and the same candidates as ever."""

import numpy as np
import pytest
import torch

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.item_text import read_dataset_text
from recbole_mpo.text.sentences import item_attributes


@pytest.fixture
def open_dataset(data, tiny_path):
    """The dataset ``tiny`` as S3Rec takes it."""

    def make(**changes):
        return data.open_dataset(tiny_path, "tiny", "S3Rec", hidden_size=16, inner_size=16, **changes).dataset

    return make


def write_text(tiny_path, texts):
    lines = ["item_id:token\ttext:token_seq", *(f"{item}\t{text}" for item, text in texts.items())]
    (tiny_path / "tiny" / "tiny.text").write_text("\n".join(lines) + "\n")


def test_each_item_has_the_attributes_of_its_text(tiny_path, open_dataset):
    dataset = open_dataset()
    item_text = read_dataset_text(tiny_path / "tiny" / "tiny.text")
    text_of = item_text.by_token()
    names, table = item_attributes(["", *(text_of[token] for token in dataset.field2id_token["item_id"][1:])])
    feature = dataset.get_item_feature()
    assert dataset.num("class") == 1 + len(names) and len(feature["class"]) == dataset.item_num == 31
    assert feature["item_id"].tolist() == list(range(31)) and feature["class"].dtype == torch.int64
    for row, ids in zip(table.toarray(), feature["class"].numpy(), strict=True):
        assert set(dataset.id2token("class", ids[ids > 0])) == {names[column] for column in np.flatnonzero(row)}
    assert not feature["class"][0].any() and feature["class"][1:].any()


def test_splits_share_them_and_nothing_is_written_beside_the_data(tiny_path, open_dataset):
    before = {path: path.read_bytes() for path in tiny_path.rglob("*") if path.is_file()}
    dataset = open_dataset()
    assert all(split.get_item_feature() is dataset.item_feat for split in dataset.build())
    assert {path: path.read_bytes() for path in tiny_path.rglob("*") if path.is_file()} == before


def test_text_of_items_without_interactions_adds_no_candidate(tiny_path, open_dataset):
    path = tiny_path / "tiny" / "tiny.text"
    path.write_text(path.read_text() + "unseen\tlamp table chair\n")
    assert open_dataset().item_num == 31


def test_an_item_file_that_load_col_names_is_recboles(tiny_path, open_dataset):
    rows = [f"i{item}\t{'even' if item % 2 == 0 else 'odd'} {'low' if item < 15 else ''}" for item in range(30)]
    (tiny_path / "tiny" / "tiny.item").write_text("\n".join(["item_id:token\tkind:token_seq", *rows]) + "\n")
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "kind"]}
    dataset = open_dataset(item_attribute="kind", load_col=columns)
    dataset.build()
    assert set(dataset.field2id_token["kind"]) == {"[PAD]", "even", "odd", "low"} and dataset.item_num == 31
    ids = dataset.get_item_feature()["kind"][dataset.token2id("item_id", "i3")]
    assert set(dataset.id2token("kind", ids[ids > 0])) == {"odd", "low"}


def test_a_field_that_no_file_gave_is_refused(open_dataset):
    with pytest.raises(DataError, match=r"item_attribute is 'kind', .* load_col .*item: \[item_id, kind\]"):
        open_dataset(item_attribute="kind")


def test_texts_that_share_nothing_are_refused(tiny_path, open_dataset):
    write_text(tiny_path, {f"i{item}": f"{chr(97 + item % 26) * 3}{'x' * item}" for item in range(30)})
    with pytest.raises(DataError, match=r"tiny\.text gives no attributes, which S3Rec needs"):
        open_dataset()


def test_without_text_the_file_is_named(tiny_path, open_dataset):
    (tiny_path / "tiny" / "tiny.text").unlink()
    with pytest.raises(DataError, match=r"tiny\.text: cannot read the item texts"):
        open_dataset()


def test_an_item_without_text_has_none(tiny_path, open_dataset):
    write_text(tiny_path, {f"i{item}": "lamp" if item < 10 else "table" for item in range(29)})
    dataset = open_dataset()
    feature = dataset.get_item_feature()["class"]
    assert not feature[dataset.token2id("item_id", "i29")].any()
    assert torch.count_nonzero(feature) == 10  # table stands in more than half
