"""RecBole's padded rows as flat histories: the same pairs as of a packed dataset."""

import numpy as np
import pytest
from support import built_run

from recbole_mpo.data.flat_histories import FlatHistories
from recbole_mpo.data.training_counts import training_pairs


@pytest.fixture(params=[15, 5])
def parts(request, tiny_settings):
    """The training parts of a model of RecBole's and of a text model, with long and with short rows."""
    shared = {"MAX_ITEM_LIST_LENGTH": request.param}
    keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "hidden_size", "inner_size")
    other = built_run("SASRec", "tiny", (), {**{key: tiny_settings[key] for key in keys}, **shared})
    return other.splits[0], built_run("UniSRec", "tiny", (), {**tiny_settings, **shared}).splits[0]


@pytest.mark.parametrize("without_last", [False, True])
@pytest.mark.parametrize("window", [1, 4])
def test_pairs_are_those_of_the_packed_dataset(parts, window, without_last):
    found, expected = (training_pairs(part, window, without_last) for part in (FlatHistories(parts[0]), parts[1]))
    columns = [
        sorted(zip(*(getattr(pairs, name).tolist() for name in ("users", "before", "after", "distances")), strict=True))
        for pairs in (found, expected)
    ]
    assert columns[0] == columns[1] and len(columns[0]) > 100


def test_rows_are_views_in_the_order_of_the_dataset(parts):
    flat, rows = FlatHistories(parts[0]), parts[0][np.arange(len(parts[0]))]
    columns = flat.rows().users, flat.rows().ends, flat.rows().lengths
    for row, (user, end, length) in enumerate(zip(*columns, strict=True)):
        assert user == rows["user_id"][row] and length == rows["item_length"][row]
        assert flat.flat_items[end] == rows["item_id"][row]
        assert flat.flat_items[end - length : end].tolist() == rows["item_id_list"][row][:length].tolist()


def test_the_last_rows_are_those_of_the_packed_dataset(parts):
    def last(part, rows):
        chosen = np.flatnonzero(rows.are_last())
        return sorted(zip(rows.users[chosen].tolist(), part[chosen]["item_id"].tolist(), strict=True))

    assert last(parts[0], FlatHistories(parts[0]).rows()) == last(parts[1], parts[1].rows())


def test_texts_and_numbers_are_those_of_the_dataset(parts):
    flat = FlatHistories(parts[0])
    assert flat.item_texts() == parts[1].item_texts() and flat.num(flat.iid_field) == parts[1].item_num
    assert flat.fitted_words is None
    parts[0].fitted_words = {}
    assert flat.fitted_words == {}
