"""Least squares of one law for many sets of values at once: Levenberg and Marquardt's steps within bounds.

Shapes: S sets, n points, P parameters, K predictors, A sets that are not settled.
"""

import numpy as np

# In a flat valley hundreds are needed.
STEPS = 2000
# A set is settled once so many steps in a row together gain less than this share of its sum of squares.
WINDOW, LEAST_GAIN = 20, 1e-5
# Of the sum of squares of the values: less than this is left by rounding alone.
ROUNDING = 1e-24


def fit_many(law, values_Sn: np.ndarray, logs_Kn: np.ndarray, starts_SP, bounds, fixed: tuple[int, ...] = ()):
    """Return the parameters [S, P] of least squares for each set, the sums of squares [S], and which are settled [S].

    Args:
        law: the law.
        values_Sn: the values.
        logs_Kn: logarithms of the predictors.
        starts_SP: where to begin.
        bounds: least and largest parameters.
        fixed: positions of parameters that stay as they are.
    """
    parameters = np.array(starts_SP, dtype=float)
    free = np.array([place for place in range(parameters.shape[1]) if place not in fixed])
    costs = np.square(values_Sn - law.values(parameters, logs_Kn)).sum(axis=1)
    smallest = ROUNDING * np.square(values_Sn).sum(axis=1)
    damping = np.full(len(parameters), 1e-2)
    before, active = costs.copy(), np.arange(len(parameters))
    for number in range(1, STEPS + 1):
        values, own = values_Sn[active], parameters[active]
        tried = _tried(law, values, logs_Kn, own, damping[active], bounds, free)
        with np.errstate(over="ignore", invalid="ignore"):
            tried_costs = np.square(values - law.values(tried, logs_Kn)).sum(axis=1)
        better = tried_costs < costs[active]
        parameters[active[better]], costs[active[better]] = tried[better], tried_costs[better]
        damping[active] = np.clip(np.where(better, damping[active] / 4, damping[active] * 5), 1e-12, 1e8)
        if number % WINDOW == 0:
            gained = before[active] - costs[active]
            before[active] = costs[active]
            active = active[(gained > LEAST_GAIN * costs[active]) & (costs[active] > smallest[active])]
        if not len(active):
            break
    settled = np.ones(len(parameters), dtype=bool)
    settled[active] = False
    return parameters, costs, settled


def _tried(law, values_An, logs_Kn, parameters_AP, damping_A, bounds, free: np.ndarray) -> np.ndarray:
    """Return the parameters [A, P] after a step of each set."""
    lowest, highest = (ends[free] for ends in bounds)
    slopes = law.slopes(parameters_AP, logs_Kn)[..., free]
    right = np.einsum("anp,an->ap", slopes, values_An - law.values(parameters_AP, logs_Kn))
    own = parameters_AP[:, free]
    # What would go on beyond its bound stays there, so that the others can go where they are best beside it.
    stuck = ((own <= lowest) & (right < 0)) | ((own >= highest) & (right > 0))
    slopes = np.where(stuck[:, None], 0.0, slopes)
    tried = parameters_AP.copy()
    tried[:, free] = np.clip(own + _step(slopes, np.where(stuck, 0.0, right), damping_A), lowest, highest)
    return tried


def _step(slopes: np.ndarray, right: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Return the step [A, free] of each set."""
    normal = np.einsum("anp,anq->apq", slopes, slopes)
    scale = np.einsum("app->ap", normal)
    # A parameter without any effect must not make the matrix singular.
    scale = np.maximum(scale, 1e-12 * np.maximum(scale.max(axis=1, keepdims=True), 1e-300))
    places = np.arange(normal.shape[1])
    normal[:, places, places] = scale * (1 + damping[:, None])
    return np.linalg.solve(normal, right[..., None])[..., 0]
