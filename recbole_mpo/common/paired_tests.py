"""What stands beside a paired t-test: a test by random signs, Holm's adjustment, the size of an effect, and wins.

Shapes: R targets (one per user), C columns of differences, each of another pair of runs or of another metric.
"""

import numpy as np
from scipy import stats

from recbole_mpo.common.paired import RESAMPLES, batches, checked_differences, is_flat

# Differences that are not zero of which every pattern of signs is tried: 2 ** 13 patterns, fewer than the resamples.
EXACT = 13
# Sums of the same numbers in another order differ by rounding, which must not decide what is as large as the observed.
_ROUNDING = 1e-10
# Of differences whose largest is 1, as they are ranked.
_DIGITS = 12


def sign_flip_test(differences_RC, seed: int = 0) -> np.ndarray:
    """Return the two-sided p-value of each column's mean when the sign of every difference is random [C].

    Without an effect the two runs could swap a user's values. The p-value is the share of patterns of signs whose mean
    is at least as far from zero as the observed one: of all patterns where at most ``EXACT`` differences are not zero,
    otherwise of ``RESAMPLES`` random ones and the observed one, so that the least is 0.0001 (Fisher, "The design of
    experiments", 1935, section 21; Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9,
    2010). It assumes nothing about the law of the differences but that it is symmetric when there is no effect.

    Args:
        differences_RC: differences of each target.
        seed: of the random signs.

    Raises:
        ValueError: there are fewer than two rows, or a value is not finite.
    """
    differences_RC = checked_differences(differences_RC)
    is_small_C = np.count_nonzero(differences_RC, axis=0) <= EXACT
    p_values_C = np.empty(differences_RC.shape[1])
    for column in np.flatnonzero(is_small_C):
        differences_N1 = differences_RC[differences_RC[:, column] != 0][:, [column]]
        patterns_BN = np.arange(2 ** len(differences_N1))[:, None] >> np.arange(len(differences_N1)) & 1
        p_values_C[column] = _far_signs(patterns_BN, differences_N1)[0] / len(patterns_BN)
    if not is_small_C.all():
        p_values_C[~is_small_C] = _random_signs(differences_RC[:, ~is_small_C], seed)
    return p_values_C


def _random_signs(differences_RC: np.ndarray, seed: int) -> np.ndarray:
    draw, count = np.random.default_rng(seed), len(differences_RC)
    far_C = np.ones(differences_RC.shape[1])
    for rows in batches(count):
        octets = draw.integers(0, 256, (rows.stop - rows.start, -(-count // 8)), dtype=np.uint8)
        far_C += _far_signs(np.unpackbits(octets, axis=1, count=count), differences_RC)
    return far_C / (RESAMPLES + 1)


def _far_signs(patterns_BR: np.ndarray, differences_RC: np.ndarray) -> np.ndarray:
    """Return how many patterns, 1 for a sign kept and 0 for one turned, leave a sum as far from zero as it was [C]."""
    sums_C, sizes_C = differences_RC.sum(0), np.abs(differences_RC).sum(0)
    sums_BC = 2 * (patterns_BR.astype(np.float64) @ differences_RC) - sums_C
    return (np.abs(sums_BC) >= np.abs(sums_C) - _ROUNDING * sizes_C).sum(0)


def holm(p_values_C) -> np.ndarray:
    """Return p-values adjusted for all tests of a table together [C], by Holm's step-down method.

    Rejecting what stays below 0.05 errs in any of the tests with a probability of at most 0.05, whatever the tests have
    to do with each other (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979).

    Args:
        p_values_C: p-value of each test.
    """
    p_values_C = np.asarray(p_values_C, dtype=np.float64)
    order = np.argsort(p_values_C, kind="stable")
    scaled = p_values_C[order] * np.arange(len(order), 0, -1)
    adjusted_C = np.empty_like(scaled)
    adjusted_C[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted_C


def effect_sizes(differences_RC) -> np.ndarray:
    """Return Cohen's d_z of each column [C]: the mean difference in standard deviations of the differences (n - 1).

    It does not grow with the number of users, as a test's statistic does: 0.2 is commonly called small. Without any
    spread it is 0 where the difference is zero, and infinite otherwise.

    Raises:
        ValueError: there are fewer than two rows, or a value is not finite.
    """
    differences_RC = checked_differences(differences_RC)
    means_C = differences_RC.mean(0)
    spreads_C = np.where(is_flat(differences_RC), 0.0, differences_RC.std(0, ddof=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means_C == 0, 0.0, means_C / spreads_C)


def wins_ties_losses(differences_RC) -> np.ndarray:
    """Return for how many users each column is above zero, zero and below zero, as whole numbers [3, C]."""
    signs_RC = np.sign(differences_RC)
    return np.stack([(signs_RC == sign).sum(0) for sign in (1, 0, -1)])


def wilcoxon_test(differences_RC) -> np.ndarray:
    """Return the p-value of the two-sided signed-rank test of Wilcoxon of each column [C], zeros left out.

    It does not test the mean, but whether the differences are symmetric about zero: with thousands of users it finds
    an effect too often where there is none (Ihemelandu and Ekstrand, SIGIR 2023). Show it only to who asks for it.

    Raises:
        ValueError: there are fewer than two rows, or a value is not finite.
    """
    differences_RC = checked_differences(differences_RC)
    # Equal differences have equal ranks, and would not if one of them were larger by rounding.
    scales_C = np.abs(differences_RC).max(0)
    ranked_RC = np.round(differences_RC / np.where(scales_C == 0, 1.0, scales_C), _DIGITS)
    return np.array([float(stats.wilcoxon(column).pvalue) if column.any() else 1.0 for column in ranked_RC.T])
