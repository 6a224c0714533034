"""Compare two runs user by user: the mean difference, its interval, and a test.

Two runs rank the same targets, so that the difference per target has far less noise than either metric. It says how two
trained models differ on users like these; how two models differ over seeds, it cannot say (``seed_variance`` can).

Shapes: R targets (one per user), the same in both runs and in the same order; C columns, each the differences of
another pair of runs or of another metric. Resamples are shared by the columns, so that many cost little more than one.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 9_999
# Numbers drawn at once: 16 MB of them.
_DRAWN = 2_000_000
# By how much equal differences differ, as a share of their size, if they were computed in other orders.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """How much better one run is than another on the same targets.

    Attributes:
        mean: mean of the differences.
        low: lower end of the interval.
        high: upper end of the interval.
        p_value: of the two-sided paired t-test of no difference.
        count: number of targets.
    """

    mean: float
    low: float
    high: float
    p_value: float
    count: int

    @property
    def is_real(self) -> bool:
        """Return whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_difference(values_R, reference_R, confidence: float = 0.95, seed: int = 0) -> PairedDifference:
    """Return the mean of ``values - reference`` with a bootstrap interval and the p-value of the paired t-test.

    Args:
        values_R: metric of one run per target.
        reference_R: metric of the other run for the same targets.
        confidence: share of resamples within the interval.
        seed: of the resamples.

    Raises:
        ValueError: the two differ in length, have fewer than two values, or hold a value that is not finite.
    """
    values_R, reference_R = np.asarray(values_R, dtype=np.float64), np.asarray(reference_R, dtype=np.float64)
    if values_R.shape != reference_R.shape or values_R.ndim != 1:
        raise ValueError(f"paired values have the shapes {values_R.shape} and {reference_R.shape}")
    differences_R1 = (values_R - reference_R)[:, None]
    low, high = bootstrap_intervals(differences_R1, confidence, seed)
    p_value = t_test(differences_R1)
    return PairedDifference(
        float(differences_R1.mean()), float(low[0]), float(high[0]), float(p_value[0]), len(values_R)
    )


def t_test(differences_RC) -> np.ndarray:
    """Return the p-value of the two-sided paired t-test of each column [C].

    A column without any spread, on which the test divides by zero, has the p-value 1 if it is zero and 0 otherwise.

    Raises:
        ValueError: there are fewer than two rows, or a value is not finite.
    """
    differences_RC = checked_differences(differences_RC)
    means_C = differences_RC.mean(0)
    flat_C = is_flat(differences_RC)
    errors_C = differences_RC.std(0, ddof=1) / np.sqrt(len(differences_RC))
    statistics_C = np.abs(means_C) / np.where(flat_C, 1.0, errors_C)
    p_values_C = 2 * stats.t.sf(statistics_C, len(differences_RC) - 1)
    return np.where(flat_C, (means_C == 0).astype(np.float64), p_values_C)


def bootstrap_intervals(differences_RC, confidence: float = 0.95, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper ends [C] of the bootstrap intervals of the columns' means.

    The intervals are the percentile ones over resampled users (Efron, "Bootstrap methods", Annals of Statistics 7,
    1979); they are the same for the same seed, and each is the same with or without the others beside it.

    Args:
        differences_RC: differences of each target.
        confidence: share of resamples within an interval.
        seed: of the resamples.

    Raises:
        ValueError: there are fewer than two rows, or a value is not finite.
    """
    differences_RC = checked_differences(differences_RC)
    count, columns = differences_RC.shape
    draw = np.random.default_rng(seed)
    means_BC = np.empty((RESAMPLES, columns))
    for rows in batches(count):
        drawn = draw.integers(0, count, (rows.stop - rows.start, count))
        # How often each user is drawn, which serves all columns.
        times = np.stack([np.bincount(resample, minlength=count) for resample in drawn])
        means_BC[rows] = times @ differences_RC / count
    tail = (1 - confidence) / 2
    low_C, high_C = np.quantile(means_BC, (tail, 1 - tail), axis=0)
    flat_C, first_C = is_flat(differences_RC), differences_RC[0]
    return np.where(flat_C, first_C, low_C), np.where(flat_C, first_C, high_C)


def batches(count: int) -> list[slice]:
    """Return the resamples as slices that hold few enough numbers at once, ``count`` being those of one resample."""
    size = max(1, _DRAWN // count)
    return [slice(begin, min(begin + size, RESAMPLES)) for begin in range(0, RESAMPLES, size)]


def checked_differences(differences_RC) -> np.ndarray:
    """Return differences as float64 [R, C].

    Raises:
        ValueError: there are fewer than two rows, or a value is not finite.
    """
    differences_RC = np.asarray(differences_RC, dtype=np.float64)
    if differences_RC.ndim != 2 or len(differences_RC) < 2 or not np.isfinite(differences_RC).all():
        raise ValueError("a paired comparison needs at least two finite values in each run")
    return differences_RC


def is_flat(differences_RC: np.ndarray) -> np.ndarray:
    """Return whether each column's differences are all the same but for rounding [C]."""
    return np.ptp(differences_RC, axis=0) <= _ROUNDING * np.abs(differences_RC).max(0)
