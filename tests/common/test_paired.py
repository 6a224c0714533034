"""Paired differences: cases worked by hand, the sign, the interval's coverage, and what is refused."""

import numpy as np
import pytest

from recbole_mpo.common.paired import PairedDifference, paired_difference


def test_a_case_worked_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 2 sqrt(3) with two degrees of freedom.

    With two degrees of freedom P(|T| > t) = 1 - t / sqrt(t^2 + 2), here 1 - sqrt(12 / 14).
    """
    found = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.mean == 2.0 and found.count == 3
    assert found.p_value == pytest.approx(1 - np.sqrt(12 / 14), abs=1e-12)
    # A resample's mean is 1 once in 27 times, and 3 as often: more than the 2.5 % outside the interval.
    assert (found.low, found.high) == (1.0, 3.0)


def test_a_reversed_order_reverses_the_sign_and_nothing_else():
    draw = np.random.default_rng(3)
    better, worse = draw.random(500) + 0.05, draw.random(500)
    one, other = paired_difference(better, worse), paired_difference(worse, better)
    assert one.mean == -other.mean > 0 and one.p_value == other.p_value
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=2e-3)


def test_the_same_seed_gives_the_same_interval():
    draw = np.random.default_rng(4)
    values, reference = draw.random(200), draw.random(200)
    assert paired_difference(values, reference) == paired_difference(values, reference)
    assert paired_difference(values, reference, seed=1).low != paired_difference(values, reference).low


def test_pairs_see_what_unpaired_values_hide():
    draw = np.random.default_rng(5)
    reference = draw.random(300) * 100
    found = paired_difference(reference + 0.1 + 0.2 * draw.standard_normal(300), reference)
    assert found.is_real and found.low < 0.1 < found.high and found.p_value < 1e-6


def test_the_interval_is_that_of_the_normal_law_on_many_values():
    draw = np.random.default_rng(6)
    differences = draw.standard_normal(4000)
    found = paired_difference(differences, np.zeros(4000))
    half = 1.96 * differences.std(ddof=1) / np.sqrt(4000)
    assert found.low == pytest.approx(differences.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.06 * half)


def test_a_wider_confidence_is_a_wider_interval():
    draw = np.random.default_rng(7)
    values = draw.standard_normal(100)
    wide, narrow = (paired_difference(values, np.zeros(100), confidence) for confidence in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0.0, PairedDifference(0.0, 0.0, 0.0, 1.0, 3)), (0.5, PairedDifference(0.5, 0.5, 0.5, 0.0, 3))],
)
def test_equal_differences_have_no_spread(shift, expected):
    reference = np.array([1.0, 2.0, 4.0])
    found = paired_difference(reference + shift, reference)
    assert found == expected and found.is_real is bool(shift)


@pytest.mark.parametrize(
    ("values", "reference"),
    [([1.0, 2.0], [1.0]), ([1.0], [2.0]), ([], []), ([np.nan, 1.0], [0.0, 1.0]), ([[1.0, 2.0]], [[1.0, 2.0]])],
)
def test_what_cannot_be_paired_is_refused(values, reference):
    with pytest.raises(ValueError, match="paired"):
        paired_difference(values, reference)
