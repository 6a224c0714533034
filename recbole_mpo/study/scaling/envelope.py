"""The best run at each compute: the envelope of a study, and which size and how much data it has.

Shapes: n points, e points of the envelope.
"""

import numpy as np
from scipy import stats

from recbole_mpo.study.scaling.fitting import Fit, Points
from recbole_mpo.study.scaling.outcomes import COMPUTE, DATA, SIZE

# At most so many bins of the logarithm of compute, of a width of 1 at most.
BINS = 10
# Fewer points of an envelope tell no exponent.
LEAST_POINTS = 5


def envelope(points: Points, rises: bool) -> np.ndarray:
    """Return the places [e] of the best point of each bin of log compute, in order of compute, as far as it improves.

    Args:
        points: the points.
        rises: whether larger values are better.
    """
    logs_n = np.log(points.predictors[COMPUTE])
    width = min(1.0, float(np.ptp(logs_n)) / BINS) or 1.0
    bins_n = np.floor(logs_n / width).astype(int)
    values_n = points.values_n if rises else -points.values_n
    best = [own[values_n[own].argmax()] for own in (np.flatnonzero(bins_n == one) for one in np.unique(bins_n))]
    chosen: list[int] = []
    for place in best:
        if not chosen or values_n[place] > values_n[chosen[-1]]:
            chosen.append(int(place))
    return np.array(chosen, dtype=int)


def optimal_slopes(points: Points, places_e: np.ndarray) -> dict[str, dict[str, float]] | None:
    """Return the exponents with which size and data of the envelope grow with compute, each with its 95 % interval.

    They are slopes of straight lines by least squares between logarithms; None for fewer than 5 points.
    """
    if len(places_e) < LEAST_POINTS:
        return None
    logs = {name: np.log(points.predictors[name][places_e]) for name in (SIZE, DATA, COMPUTE)}
    times = stats.t.ppf(0.975, len(places_e) - 2)
    slopes = {}
    for name in (SIZE, DATA):
        line = stats.linregress(logs[COMPUTE], logs[name])
        slope, error = float(line.slope), float(line.stderr)
        slopes[name] = {"value": slope, "low": slope - times * error, "high": slope + times * error}
    return slopes


def analytic_slopes(fitted: Fit, draws_BP: np.ndarray) -> dict[str, tuple[float, np.ndarray]]:
    """Return the exponents of the best size and data for compute 6 N D under F1, and those of bootstrap draws [B].

    With ``E + A N**-a + B D**-b`` the best N grows as ``C ** (b / (a + b))``, the best D as ``C ** (a / (a + b))``.
    """
    names = fitted.law.names
    size, data = names.index(f"exponent ({SIZE})"), names.index(f"exponent ({DATA})")
    a, b = fitted.parameters[size], fitted.parameters[data]
    sums = draws_BP[:, size] + draws_BP[:, data]
    return {SIZE: (b / (a + b), draws_BP[:, data] / sums), DATA: (a / (a + b), draws_BP[:, size] / sums)}
