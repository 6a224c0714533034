"""Paired differences: cases worked by hand, the sign, the interval's coverage, and what is refused."""

import numpy as np
import pytest
from scipy import stats

from recbole_mpo.common.paired import (
    RESAMPLES,
    PairedDifference,
    batches,
    bootstrap_intervals,
    paired_difference,
    t_test,
)


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


class TestColumns:
    """Many differences at once."""

    @pytest.fixture
    def differences(self):
        return np.random.default_rng(8).choice([0.0, 0.0, 1.0, -1.0, 0.5], (300, 3)) + [0, 0.02, -0.05]

    def test_the_interval_is_scipys(self, differences):
        low, high = bootstrap_intervals(differences, 0.9, seed=3)
        for place in range(3):
            expected = stats.bootstrap(
                (differences[:, place],),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=0.9,
                method="percentile",
                random_state=np.random.default_rng(3),
            ).confidence_interval
            assert (low[place], high[place]) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_the_p_value_is_scipys(self, differences):
        expected = stats.ttest_rel(differences, np.zeros_like(differences)).pvalue
        assert t_test(differences) == pytest.approx(expected, rel=1e-9)

    def test_a_column_is_the_same_among_others_and_alone(self, differences):
        low, high = bootstrap_intervals(differences)
        found = paired_difference(differences[:, 1], np.zeros(300))
        assert (found.low, found.high) == pytest.approx((low[1], high[1]), abs=1e-12)
        assert found.p_value == pytest.approx(t_test(differences)[1], rel=1e-9)

    def test_a_column_without_spread_stands_beside_others(self):
        differences = np.array([[0.0, 0.5, 1.0], [0.0, 0.5, 2.0], [0.0, 0.5, 3.0]])
        low, high = bootstrap_intervals(differences)
        assert low.tolist() == [0.0, 0.5, 1.0] and high.tolist() == [0.0, 0.5, 3.0]
        assert t_test(differences).tolist()[:2] == [1.0, 0.0]

    def test_rounding_is_no_spread(self):
        differences = np.array([[0.1 + 0.2], [0.3], [0.3]])
        assert t_test(differences).tolist() == [0.0]
        assert np.ravel(bootstrap_intervals(differences)) == pytest.approx([0.3, 0.3], abs=1e-12)

    @pytest.mark.parametrize("count", [2, 8_442, 10**5, 10**8])
    def test_batches_hold_every_resample_once_and_few_numbers(self, count):
        found = batches(count)
        assert [row for rows in found for row in range(RESAMPLES)[rows]] == list(range(RESAMPLES))
        assert max(rows.stop - rows.start for rows in found) * count <= max(count, 2_000_000)

    @pytest.mark.parametrize("function", [bootstrap_intervals, t_test])
    @pytest.mark.parametrize("values", [np.zeros((1, 2)), np.zeros(5), [[1.0], [np.inf]]])
    def test_what_has_no_rows_is_refused(self, function, values):
        with pytest.raises(ValueError, match="at least two finite values"):
            function(values)
