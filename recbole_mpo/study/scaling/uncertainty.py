"""How sure a fitted law is: intervals from bootstrap draws, errors on data it has not seen, profiles of its asymptote.

Shapes: n points, P parameters, B draws.
"""

import numpy as np
from scipy import stats

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.scaling.fitting import SEED, Fit, Points, assessed, fit
from recbole_mpo.study.scaling.laws import LogLinear, PowerLaw
from recbole_mpo.study.scaling.least_squares import fit_many

DRAWS = 200
# Where each draw begins beside the fit.
OTHER_STARTS = 3
# Starts of each point of a profile: exponents of all predictors.
PROFILE_EXPONENTS = (0.05, 0.2, 0.5, 1.0)


def bootstrap(fitted: Fit, points: Points, draws: int = DRAWS, seed: int = SEED) -> tuple[np.ndarray, int]:
    """Return the parameters [B, P] that the law has for resampled residuals, and how many draws are not settled.

    They are widened by as much as the fit has made them smaller, and as Student's t is wider than a normal distribution
    where points are few. Runs that differ in their seed alone are to be averaged before (:meth:`Points.of_cells`):
    seeds lie closer to one another than any of them to a law that does not hold exactly, so that resampling among them
    would make an interval far too narrow.
    """
    draw = np.random.default_rng(seed)
    expected_n = fitted.at(points)
    residuals_n = points.values_n - expected_n
    residuals_n = residuals_n - residuals_n.mean()
    freedom = max(1, len(points) - len(fitted.law.names))
    wider = np.sqrt(len(points) / freedom) * stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    values_Bn = expected_n + wider * residuals_n[draw.integers(len(points), size=(draws, len(points)))]
    return refitted(fitted, points, values_Bn)


def refitted(fitted: Fit, points: Points, values_Bn: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the parameters [B, P] of least squares for other values at the same points, and how many are not settled.

    Each draw begins at the fit and at the best laws of several fixed asymptotes, or for another law at some of its own
    starts: where the valley is flat, one beginning does not show how far it goes.
    """
    law, logs = fitted.law, points.logs(fitted.law, fitted.centres)
    if isinstance(law, LogLinear):
        return law.solved(values_Bn, logs), 0
    if isinstance(law, PowerLaw):
        more = along_asymptotes(law, points, OTHER_STARTS + 1)[1:]
    else:
        more = law.starts(points.values_n, logs, OTHER_STARTS, SEED)
    starts_SP = np.concatenate([fitted.parameters[None], more])
    found, costs, settled = fit_many(
        law,
        np.repeat(values_Bn, len(starts_SP), axis=0),
        logs,
        np.tile(starts_SP, (len(values_Bn), 1)),
        law.bounds(points.values_n),
    )
    best = costs.reshape(len(values_Bn), -1).argmin(axis=1) + np.arange(len(values_Bn)) * len(starts_SP)
    return found[best], int((~settled[best]).sum())


def interval(values_B: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the middle share of draws."""
    low, high = np.quantile(values_B, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def leave_out(law, points: Points, predictor: str) -> dict[float, float]:
    """Return, for each value of a predictor, the root mean squared error at its points of a law that has not seen them.

    That of the largest value is an extrapolation. Values without which too few points are left are not there.
    """
    errors = {}
    for value in np.unique(points.predictors[predictor]):
        out_n = points.predictors[predictor] == value
        try:
            other = fit(law, points[~out_n])
        except RecordError:
            continue
        left = points[out_n]
        errors[float(value)] = float(np.sqrt(np.square(left.values_n - other.at(left)).mean()))
    return errors


def along_asymptotes(law: PowerLaw, points: Points, count: int = 25) -> np.ndarray:
    """Return the best parameters [count, P] for each of several fixed asymptotes, from the best value seen on."""
    lowest, highest = (float(ends[0]) for ends in law.bounds(points.values_n))
    spread = float(np.ptp(points.values_n)) or 1.0
    begin, end = (lowest, highest) if law.rises else (highest, lowest)
    # Closer near what was seen, where the curve bends.
    reach = abs(end - begin)
    steps = np.concatenate([[0.0], np.geomspace(min(0.02 * spread, 0.5 * reach), reach, count - 1)])
    asymptotes = begin + steps * (1 if law.rises else -1)
    logs = points.logs(law, points.centres(law))
    grid = np.array(np.meshgrid(*[PROFILE_EXPONENTS] * len(logs))).reshape(len(logs), -1).T
    all_E, all_a = np.repeat(asymptotes, len(grid)), np.tile(grid, (len(asymptotes), 1))
    starts = law.completed(all_E, all_a, points.values_n, logs)
    values = np.tile(points.values_n, (len(starts), 1))
    found, costs, _ = fit_many(law, values, logs, starts, law.bounds(points.values_n), fixed=(0,))
    return found[costs.reshape(count, -1).argmin(axis=1) + np.arange(count) * len(grid)]


def profile(law: PowerLaw, points: Points, count: int = 25) -> list[dict[str, float]]:
    """Return the best R2 and exponents for each of several fixed asymptotes E, from the best value that was seen on.

    A flat profile says that the points do not tell the asymptote.
    """
    rows = []
    for parameters in along_asymptotes(law, points, count):
        one = assessed(law, parameters, points.centres(law), points)
        exponents = {name: value for name, value in one.named().items() if name.startswith("exponent")}
        rows.append({"E": float(parameters[0]), "r2": one.r2, **exponents})
    return rows


def fits_as_well(rows: list[dict[str, float]], count: int, size: int, level: float = 0.95) -> list[float]:
    """Return the asymptotes of a profile that points cannot tell from the best, by the ratio of likelihoods.

    Its threshold is that of an F test, which few points widen.

    Args:
        rows: the profile.
        count: number of points.
        size: number of parameters of the law.
        level: the level of the interval.

    Source: Bates and Watts, "Nonlinear regression analysis and its applications", 1988, chapter 6.
    """
    left = np.array([max(1 - row["r2"], 1e-300) for row in rows])
    ratios = count * np.log(left / left.min())
    freedom = max(1, count - size)
    largest = count * np.log1p(stats.f.ppf(level, 1, freedom) / freedom)
    return [row["E"] for row, ratio in zip(rows, ratios, strict=True) if ratio <= largest]
