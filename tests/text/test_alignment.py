"""Feature rows find their items by token, and are centred and scaled by the items that have text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.alignment import align_features
from recbole_mpo.text.feature_files import read_feature_file
from recbole_mpo.text.item_text import read_item_text

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def test_rows_are_gathered_by_token():
    features = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    features[3] = 0  # the item's text is missing
    texts = ["axe", "nut", "axe", ".", "saw"]
    item_tokens = np.array(["[PAD]", "30", "10", "40", "99", "00"])
    table, report = align_features(features, ["00", "10", "20", "30", "40"], item_tokens, texts)
    np.testing.assert_array_equal(table, [[0, 0], [0, 0], [3, 4], [9, 10], [0, 0], [1, 2]])
    assert table.dtype == np.float32
    assert (report.items, report.with_text, report.missing_text) == (5, 3, 1)
    assert (report.absent_from_text_file, report.text_only, report.duplicate_texts) == (1, 1, 0)


def test_duplicates_are_counted_among_items_with_text():
    _, report = align_features(np.ones((5, 2)), list("abcde"), ["[PAD]", *"abcde"], ["x", "y", "x", ".", "."])
    assert report.duplicate_texts == 2
    assert align_features(np.ones((2, 2)), list("ab"), ["[PAD]", *"ab"])[1].duplicate_texts is None


@given(order=st.permutations(range(1, 31)), n_listed=st.integers(1, 30))
def test_order_of_the_interactions_does_not_matter(order, n_listed):
    rng = np.random.default_rng(0)
    listed = [str(token) for token in rng.permutation(40)[:n_listed]]
    features = rng.standard_normal((n_listed, 4)).astype(np.float32)
    by_token = dict(zip(listed, features, strict=True))
    item_tokens = np.array(["[PAD]", *map(str, order)])
    table, report = align_features(features, listed, item_tokens)
    for token, row in zip(item_tokens, table, strict=True):
        np.testing.assert_array_equal(row, by_token.get(token, np.zeros(4)))
    assert report.with_text + report.absent_from_text_file == report.items == 30
    assert report.text_only == n_listed - report.with_text


def test_pad_row_is_zero_even_if_the_text_file_lists_its_name():
    table, report = align_features(np.ones((2, 3)), ["[PAD]", "a"], ["[PAD]", "a"])
    assert not table[0].any() and report.text_only == 1


def test_tokens_and_rows_must_fit():
    with pytest.raises(FeatureError, match="3 feature rows for 2 tokens"):
        align_features(np.ones((3, 2)), ["a", "b"], ["[PAD]", "a"])
    with pytest.raises(FeatureError, match="item 'b' occurs twice among the feature rows"):
        align_features(np.ones((3, 2)), ["a", "b", "b"], ["[PAD]", "a"])


def test_scientific_rows_follow_interactions_not_lines(shared_data):
    folder = shared_data / "Scientific"
    item_text = read_item_text(folder / "Scientific.text")
    matrix = read_feature_file(folder / "Scientific.feat1CLS.pq.npy", len(item_text), 768, item_text.tokens)
    lines = (folder / "Scientific.train.inter").read_text().splitlines()[1:]
    seen = dict.fromkeys(token for line in lines for token in (*line.split("\t")[1].split(), line.split("\t")[2]))
    table, report = align_features(matrix, item_text.tokens, np.array(["[PAD]", *seen]), item_text.texts)
    assert (report.items, report.with_text, report.text_only) == (4373, 4373, 12)
    row = 1 + list(seen).index("1234")
    np.testing.assert_array_equal(table[row], matrix[1234])
