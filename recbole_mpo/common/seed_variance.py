"""An interval of the difference of two models that counts the seeds of their trainings as well as the users.

An interval over users takes the trained models as given. Trained with other seeds they would differ by another amount,
and by how much is seen in the spread of each model's metric over its seeds. Seeds of two models are independent
samples, whatever their numbers are; users are the same in all runs.

Shapes: S runs of one model and T runs of the other (one per seed), R users, the same in all runs and in the same order.
"""

import numpy as np
from scipy.special import stdtrit


def seeds_interval(values_SR, reference_TR, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of the mean of ``values - reference`` over users and seeds; None with one run on a side.

    The variance of the mean difference is (d² - c² / S - e² / T) / R + s² / S + t² / T, where d² is the variance over
    users of the difference of means over seeds, s² and t² are the variances over seeds of the means over users, and c²
    and e² those of what a seed does to each user on its own. This last stands in d² and in s² or t² both, and is
    taken out once (Cornfield and Tukey, "Average values of mean squares in factorials", Annals of Mathematical
    Statistics 27, 1956). The quantile is Student's with the degrees of freedom of the sum (Satterthwaite, "An
    approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946), so that a spread
    estimated from two seeds widens the interval by far more than one estimated from five. The interval is at least
    that of the paired t-test over users.

    Its coverage for a nominal 95 %, simulated with normal values: 92 to 98 %, unless one model's spread over seeds
    outweighs all else; then it sinks to 88 % with two seeds of that model, 92 % with three and 94 % with five. (The
    percentiles of a bootstrap over users and seeds cover 70, 82 and 88 % where seeds are all that matters, since
    resamples of S seeds spread by (S - 1) / S of the variance.)

    Args:
        values_SR: metric of each run of one model, per target.
        reference_TR: metric of each run of the other model for the same targets.
        confidence: share of such intervals that are to hold the true difference.

    Raises:
        ValueError: the targets differ in number or are fewer than two, or a value is not finite.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (values_SR, reference_TR)]
    _check(*sides)
    if min(map(len, sides)) < 2:
        return None
    differences_R = sides[0].mean(0) - sides[1].mean(0)
    count, mean = len(differences_R), float(differences_R.mean())
    own = sum(_own_variance(side) / len(side) for side in sides) / count
    # Never below its own part, but by chance, or where both sides are the same runs.
    users = max(differences_R.var(ddof=1) / count, own)
    seeds = [side.mean(1).var(ddof=1) / len(side) for side in sides]
    variance, tail = users - own + sum(seeds), (1 + confidence) / 2
    half = stdtrit(count - 1, tail) * np.sqrt(users)
    if variance > users:
        parts = [(users - own, count), *zip(seeds, map(len, sides), strict=True)]
        freedom = variance**2 / sum(part**2 / (size - 1) for part, size in parts)
        half = max(half, stdtrit(freedom, tail) * np.sqrt(variance))
    return mean - float(half), mean + float(half)


def _check(values_SR: np.ndarray, reference_TR: np.ndarray):
    shapes = values_SR.shape, reference_TR.shape
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(f"runs over seeds have the shapes {shapes[0]} and {shapes[1]}")
    if shapes[0][1] < 2 or not (np.isfinite(values_SR).all() and np.isfinite(reference_TR).all()):
        raise ValueError("a comparison over seeds needs at least two finite values in each run")


def _own_variance(values_SR: np.ndarray) -> float:
    """Return the variance of what is left of values after the means of their users and those of their seeds."""
    left_SR = values_SR - values_SR.mean(0) - values_SR.mean(1, keepdims=True) + values_SR.mean()
    return (left_SR**2).sum() / ((len(values_SR) - 1) * (values_SR.shape[1] - 1))
