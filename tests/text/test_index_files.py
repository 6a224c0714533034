"""Item text in the form of UniSRec's release: raw ids in .text, numbers in the interactions."""

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.index_files import read_index
from recbole_mpo.text.item_features import load_item_features
from recbole_mpo.text.item_text import read_dataset_text

HEADER = "item_id:token\ttext:token_seq\n"


@pytest.fixture
def release(tmp_path):
    """Items B0C, B0A, B0B are 0, 1, 2; B0B has no text."""
    folder = tmp_path / "Rel"
    folder.mkdir()
    (folder / "Rel.text").write_text(HEADER + "B0A\tapple pie\nB0C\tcherry cake\n")
    (folder / "Rel.item2index").write_text("B0C\t0\nB0A\t1\nB0B\t2\n")
    return folder


def test_texts_take_the_interactions_names_and_order(release):
    found = read_dataset_text(release / "Rel.text")
    assert (found.tokens, found.texts) == (["0", "1", "2"], ["cherry cake", "apple pie", ""])


def test_texts_under_numbers_stay(release):
    (release / "Rel.text").write_text(HEADER + "1\tapple pie\n0\tcherry cake\n")
    assert read_dataset_text(release / "Rel.text").tokens == ["1", "0"]


def test_raw_feature_files_are_in_the_order_of_the_numbers(release):
    features = np.arange(12, dtype="<f4").reshape(3, 4) + 1
    features.tofile(release / "Rel.feat1CLS")
    settings = {"data_path": str(release), "dataset": "Rel", "feature_file": str(release / "Rel.feat1CLS")}
    settings |= {"feature_size": None, "feature_center": False, "feature_scale": False}
    table = load_item_features(settings, np.array(["[PAD]", "2", "0", "1"])).table
    assert np.array_equal(table[1:], features[[2, 0, 1]])


@pytest.mark.parametrize(
    "content, message", [("B0A 0\n", "line 1: expected a name, a tab"), ("a\t0\nb\t2\n", "do not count from 0 to 1")]
)
def test_a_broken_index_is_named(tmp_path, content, message):
    (tmp_path / "a.item2index").write_text(content)
    with pytest.raises(DataError, match=message):
        read_index(tmp_path / "a.item2index")
