"""Features are centred and scaled with numbers that are fitted once; rows without text stay zero."""

import numpy as np
import pytest

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text import standardising
from recbole_mpo.text.standardising import Standardising, present_rows


@pytest.fixture
def table():
    """23 rows of 4, two of them without text."""
    rows = (5 + 3 * np.random.default_rng(0).standard_normal((23, 4))).astype(np.float32)
    rows[[3, 11]] = 0
    return rows


def by_hand(table, centers=True, scales=True):
    """The table centred and scaled in 64 bits."""
    present = table.any(axis=1)
    rows = table[present].astype(np.float64)
    rows = rows - rows.mean(axis=0) if centers else rows
    result = np.zeros(table.shape)
    result[present] = rows / np.sqrt(np.square(rows).mean()) if scales else rows
    return result


@pytest.mark.parametrize("scales", [True, False])
@pytest.mark.parametrize("centers", [True, False])
def test_rows_with_text_are_centred_and_scaled_as_asked(table, centers, scales):
    expected = by_hand(table, centers, scales)
    Standardising.fit(table, centers, scales).apply(table)
    np.testing.assert_allclose(table, expected, rtol=1e-4, atol=1e-6)
    assert table.dtype == np.float32 and not table[[3, 11]].any()


def test_nothing_asked_changes_nothing(table):
    before = table.copy()
    numbers = Standardising.fit(table, False, False)
    numbers.apply(table)
    assert numbers == Standardising() and np.array_equal(table, before)


def test_rows_that_come_later_do_not_move_the_others(table):
    """The kind of fault: one more text changed the mean, and with it the features of all items."""
    first, grown = table.copy(), np.vstack([table, np.full((1, 4), 40, dtype=np.float32)])
    numbers = Standardising.fit(first)
    numbers.apply(first)
    numbers.apply(grown)
    np.testing.assert_array_equal(grown[:23], first)
    np.testing.assert_allclose(grown[23], (40 - numbers.mean) / numbers.scale[0])


def test_tables_larger_than_a_block_are_treated_as_one(table, monkeypatch):
    whole, blocks = table.copy(), table.copy()
    for result, size in ((whole, 100), (blocks, 4)):
        monkeypatch.setattr(standardising, "ROWS_AT_A_TIME", size)
        Standardising.fit(result).apply(result)
    np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [np.zeros((2, 3)), np.ones((2, 3))])
def test_rows_of_which_nothing_is_left_are_not_divided_by_zero(rows):
    rows = rows.astype(np.float32)
    Standardising.fit(rows).apply(rows)
    assert not rows.any()


def test_a_mean_of_other_features_is_refused(table):
    with pytest.raises(FeatureError, match="fitted to 4 columns, but they have 3; use the text_encoder"):
        Standardising.fit(table).apply(np.ones((2, 3), dtype=np.float32))


def test_rows_of_zeros_have_no_text(table):
    assert np.flatnonzero(~present_rows(table)).tolist() == [3, 11]
