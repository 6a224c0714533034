"""Least squares of one law for many sets of values at once: Levenberg and Marquardt's steps within bounds.

Shapes: S sets, n points, P parameters.
"""

import numpy as np

STEPS = 60


def fit_many(law, values_Sn: np.ndarray, logs_Kn: np.ndarray, starts_SP, bounds, fixed: tuple[int, ...] = ()):
    """Return the parameters [S, P] of least squares for each set of values, and the sums of squares [S].

    Args:
        law: the law.
        values_Sn: the values.
        logs_Kn: logarithms of the predictors.
        starts_SP: where to begin.
        bounds: least and largest parameters.
        fixed: positions of parameters that stay as they are.
    """
    lowest, highest = bounds
    parameters = np.array(starts_SP, dtype=float)
    free = [place for place in range(parameters.shape[1]) if place not in fixed]
    damping = np.full(len(parameters), 1e-2)
    residuals = values_Sn - law.values(parameters, logs_Kn)
    costs = np.square(residuals).sum(axis=1)
    for _ in range(STEPS):
        step = _step(law.slopes(parameters, logs_Kn)[..., free], residuals, damping)
        tried = parameters.copy()
        tried[:, free] = np.clip(tried[:, free] + step, lowest[free], highest[free])
        with np.errstate(over="ignore", invalid="ignore"):
            tried_residuals = values_Sn - law.values(tried, logs_Kn)
            tried_costs = np.square(tried_residuals).sum(axis=1)
        better = tried_costs < costs
        gained = np.where(better, costs - tried_costs, 0.0)
        parameters[better], residuals[better], costs[better] = (
            tried[better],
            tried_residuals[better],
            tried_costs[better],
        )
        damping = np.clip(np.where(better, damping / 4, damping * 5), 1e-12, 1e8)
        if not (gained > 1e-12 * costs).any() and (damping > 1e4).all():
            break
    return parameters, costs


def _step(slopes: np.ndarray, residuals: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Return the step [S, free] of each set."""
    normal = np.einsum("snp,snq->spq", slopes, slopes)
    right = np.einsum("snp,sn->sp", slopes, residuals)
    scale = np.einsum("spp->sp", normal)
    # A parameter without any effect must not make the matrix singular.
    scale = np.maximum(scale, 1e-12 * np.maximum(scale.max(axis=1, keepdims=True), 1e-300))
    places = np.arange(normal.shape[1])
    normal[:, places, places] = scale * (1 + damping[:, None])
    return np.linalg.solve(normal, right[..., None])[..., 0]
