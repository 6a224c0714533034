"""The interval over seeds and users: worked by hand, against scipy in its two limits, and how often it holds."""

import numpy as np
import pytest
from scipy import stats

from recbole_mpo.common.seed_variance import seeds_interval


def seeds_of(means, pattern):
    """Runs with these means over users and the same pattern over users."""
    return np.asarray(means, dtype=np.float64)[:, None] + np.asarray(pattern, dtype=np.float64)


def test_a_case_worked_by_hand():
    """Means over seeds 3, 5, 7 with a variance of 4, over users 1 and 9 with one of 32; the rest is 1, 0, -1 and its
    reverse, with a variance of 4 / 2: (4 - 2 / 2) / 3 + 32 / 2.
    """
    low, high = seeds_interval([[0, 1, 2], [6, 9, 12]], np.zeros((2, 3)))
    half = stats.t.ppf(0.975, 17**2 / (1 / 2 + 16**2 / 1)) * np.sqrt(17)
    assert (low, high) == pytest.approx((5 - half, 5 + half), rel=1e-12)


def test_unequal_numbers_of_seeds_worked_by_hand():
    """Two seeds of means 1 and 3, three of means 0, 1 and 2, no spread over users: 2/2 + 1/3 with 16/9 / (1 + 1/18)."""
    low, high = seeds_interval(seeds_of([1, 3], [0, 0]), seeds_of([0, 1, 2], [0, 0]))
    half = stats.t.ppf(0.975, (16 / 9) / (1 + 1 / 18)) * np.sqrt(4 / 3)
    assert (low, high) == pytest.approx((1 - half, 1 + half), rel=1e-12)


def test_without_a_spread_over_users_it_is_welchs_interval():
    """Two runs' means are then all that there is: the unpaired t-test of scipy with unequal variances."""
    one, other = [0.11, 0.14, 0.12], [0.10, 0.101, 0.13, 0.09]
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert seeds_interval(seeds_of(one, np.zeros(5)), seeds_of(other, np.zeros(5))) == pytest.approx(
        (expected.low, expected.high), rel=1e-9
    )


def test_without_a_spread_over_seeds_it_is_the_paired_t_interval():
    draw = np.random.default_rng(1)
    one, other = draw.random(200), draw.random(200)
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    found = seeds_interval(seeds_of([0, 0], one), seeds_of([0, 0, 0], other))
    assert found == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_it_holds_the_interval_over_users():
    """Seeds that agree more than chance would have them do not make users certain."""
    draw = np.random.default_rng(2)
    values_SR, reference_TR = draw.random((3, 400)), draw.random((2, 400))
    values_SR += draw.random(400) - values_SR.mean(1, keepdims=True)
    expected = stats.ttest_rel(values_SR.mean(0), reference_TR.mean(0)).confidence_interval(0.95)
    low, high = seeds_interval(values_SR, reference_TR - reference_TR.mean(1, keepdims=True))
    assert high - low == pytest.approx(expected.high - expected.low, rel=1e-9)
    low, high = seeds_interval(values_SR + [[0], [0.1], [0.2]], reference_TR)
    assert high - low > 2 * (expected.high - expected.low)


def test_fewer_seeds_make_it_wider():
    widths = [
        np.diff(seeds_interval(seeds_of(means, np.zeros(9)), np.zeros((9, 9))))[0] for means in ([0, 1], [0, 1] * 2)
    ]
    assert widths[0] > 3 * widths[1]


def test_reversed_sides_reverse_the_interval():
    draw = np.random.default_rng(3)
    one, other = draw.random((2, 50)), draw.random((3, 50))
    low, high = seeds_interval(one, other)
    assert seeds_interval(other, one) == pytest.approx((-high, -low), rel=1e-12)


def test_more_confidence_is_a_wider_interval():
    one, other = np.random.default_rng(4).random((2, 2, 30))
    wide, narrow = (seeds_interval(one, other, confidence) for confidence in (0.99, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("sizes", [(1, 3), (3, 1), (1, 1)])
def test_one_seed_shows_no_spread(sizes):
    assert seeds_interval(*(np.zeros((size, 4)) for size in sizes)) is None


def test_without_any_spread_the_interval_is_the_difference():
    assert seeds_interval(np.full((2, 4), 0.75), np.full((3, 4), 0.25)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("values", "reference", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"\(2, 3\) and \(2, 4\)"),
        (np.zeros(3), np.zeros(3), r"\(3,\) and \(3,\)"),
        (np.zeros((2, 1)), np.zeros((2, 1)), "at least two finite"),
        (np.zeros((2, 2)), [[0, 1], [0, np.nan]], "at least two finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, reference, message):
    with pytest.raises(ValueError, match=message):
        seeds_interval(values, reference)


def coverage(seeds, seed_spread, own_spread, repeats=1000, users=40):
    """How often the interval holds the true difference, 0: users, seeds, and each seed's own effect on each user.

    The spreads are of single values; over the mean of users that of the difference of two models is 1 / sqrt(users).
    """
    draw, held = np.random.default_rng(5), 0
    for _ in range(repeats):
        paired_R = draw.normal(size=users)
        sides = [
            draw.normal(0, spread / np.sqrt(users), (count, 1)) + draw.normal(0, own_spread, (count, users))
            for count, spread in zip(seeds, seed_spread, strict=True)
        ]
        low, high = seeds_interval(sides[0] + paired_R, sides[1])
        held += low <= 0 <= high
    return held / repeats


@pytest.mark.parametrize(
    ("seeds", "seed_spread", "own_spread", "least", "most"),
    [
        # As wide as the users' own interval where seeds do nothing.
        ((3, 3), (0, 0), 0, 0.93, 0.97),
        # Seeds that matter less than users, as in the runs of results/scientific.
        ((2, 2), (0.5, 0.5), 0.7, 0.94, 0.99),
        ((3, 3), (0.5, 0.5), 0.7, 0.94, 0.99),
        ((2, 5), (0.5, 0.5), 0.7, 0.94, 0.99),
        # Seeds that matter more than users, of both models and of one: the worst that the docstring states.
        ((2, 2), (3, 3), 0.5, 0.92, 0.98),
        ((2, 2), (10, 0), 0, 0.85, 0.92),
        ((3, 3), (10, 0), 0, 0.90, 0.95),
        ((5, 5), (10, 0), 0, 0.92, 0.97),
    ],
)
def test_its_coverage_is_as_stated(seeds, seed_spread, own_spread, least, most):
    assert least <= coverage(seeds, seed_spread, own_spread) <= most
