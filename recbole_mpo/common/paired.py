"""Compare two runs user by user: the mean difference, its interval, and a test.

Two runs rank the same targets, so that the difference per target has far less noise than either metric. It says how two
trained models differ on users like these; how two models differ over seeds, it cannot say.

Shapes: R targets (one per user), the same in both runs and in the same order.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 9_999
# Resamples drawn at once: R numbers each.
_BATCH = 64


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

    The interval is the percentile one over resampled users (Efron, "Bootstrap methods", Annals of Statistics 7, 1979);
    it is the same for the same seed.

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
    differences_R = values_R - reference_R
    if len(differences_R) < 2 or not np.isfinite(differences_R).all():
        raise ValueError("a paired comparison needs at least two finite values in each run")
    mean = float(differences_R.mean())
    if (differences_R == differences_R[0]).all():
        # Without any spread there is nothing to resample, and the test divides by zero.
        return PairedDifference(mean, mean, mean, float(mean == 0), len(differences_R))
    interval = stats.bootstrap(
        (differences_R,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    p_value = float(stats.ttest_rel(values_R, reference_R).pvalue)
    return PairedDifference(mean, float(interval.low), float(interval.high), p_value, len(differences_R))
