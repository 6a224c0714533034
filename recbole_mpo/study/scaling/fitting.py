"""Fits one law to points, and says how well it fits.

Shapes: n points, K predictors, P parameters.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.scaling.laws import Law, LogLinear
from recbole_mpo.study.scaling.least_squares import fit_many

# Starts of a fit, at random, and the seed from which they follow.
STARTS, SEED = 24, 0


@dataclass(frozen=True)
class Points:
    """What laws are fitted to.

    Attributes:
        predictors: values [n] of each predictor by name, all above zero.
        values_n: the loss or the metric.
        cells_n: number of the cell of each point; runs that differ in their seed alone have the same one.
    """

    predictors: dict[str, np.ndarray]
    values_n: np.ndarray
    cells_n: np.ndarray

    def __len__(self) -> int:
        return len(self.values_n)

    def __getitem__(self, chosen: np.ndarray) -> "Points":
        predictors = {name: values[chosen] for name, values in self.predictors.items()}
        return Points(predictors, self.values_n[chosen], self.cells_n[chosen])

    def of_cells(self) -> "Points":
        """Return a point per cell: the mean of its runs, at the geometric means of their predictors.

        A predictor that is the same for all runs of a cell stays exactly that, so that cells of one size remain so.
        """
        cells = np.unique(self.cells_n)
        own = [np.flatnonzero(self.cells_n == cell) for cell in cells]

        def middle(values):
            return values[0] if (values == values[0]).all() else np.exp(np.log(values).mean())

        predictors = {
            name: np.array([middle(values[runs]) for runs in own], dtype=float)
            for name, values in self.predictors.items()
        }
        return Points(predictors, np.array([self.values_n[runs].mean() for runs in own]), cells)

    def centres(self, law: Law) -> np.ndarray:
        """Return the mean logarithm of each predictor of a law [K]."""
        return np.array([np.log(self.predictors[name]).mean() for name in law.predictors])

    def logs(self, law: Law, centres: np.ndarray) -> np.ndarray:
        """Return the logarithms of a law's predictors [K, n], zero at ``centres``."""
        rows = [np.log(self.predictors[name]) - centre for name, centre in zip(law.predictors, centres, strict=True)]
        return np.array(rows).reshape(len(centres), len(self))


@dataclass(frozen=True)
class Fit:
    """A law that was fitted.

    Attributes:
        law: the law.
        parameters: its parameters [P].
        centres: mean logarithm of each predictor, at which its amplitude is given [K].
        rms: root of the mean squared residual.
        r2: share of the variance that it explains.
        aicc: Akaike's criterion with its correction for few points; None where there are too few for it.
    """

    law: Law
    parameters: np.ndarray
    centres: np.ndarray
    rms: float
    r2: float
    aicc: float | None

    def at(self, points: Points, parameters: np.ndarray | None = None) -> np.ndarray:
        """Return what the law gives at points [n], for other parameters [..., P] [..., n]."""
        parameters = self.parameters if parameters is None else parameters
        return self.law.values(parameters, points.logs(self.law, self.centres))

    def named(self) -> dict[str, float]:
        """Return the parameters by name."""
        return dict(zip(self.law.names, self.parameters.tolist(), strict=True))


def fit(law: Law, points: Points) -> Fit:
    """Return the law that fits best; large residuals count less than by their squares, unless the law is linear.

    Raises:
        RecordError: there are fewer points than parameters and one.
    """
    if len(points) <= len(law.names):
        raise RecordError(f"a law of {len(law.names)} parameters needs more than {len(points)} points")
    centres = points.centres(law)
    logs = points.logs(law, centres)
    if isinstance(law, LogLinear):
        parameters = law.solved(points.values_n, logs)
    else:
        parameters = _curve_fit(law, points.values_n, logs)
    return assessed(law, parameters, centres, points)


def assessed(law: Law, parameters: np.ndarray, centres: np.ndarray, points: Points) -> Fit:
    """Return a law with given parameters, and how well it fits points."""
    residuals = points.values_n - law.values(parameters, points.logs(law, centres))
    squares = float(np.square(residuals).sum())
    variance = float(np.square(points.values_n - points.values_n.mean()).sum())
    count, size = len(points), len(law.names) + 1
    aicc = None
    if count > size + 1:
        aicc = count * np.log(max(squares, 1e-300) / count) + 2 * size + 2 * size * (size + 1) / (count - size - 1)
    return Fit(law, parameters, centres, (squares / count) ** 0.5, 1 - squares / (variance or 1e-300), aicc)


def _curve_fit(law: Law, values_n: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
    """Return the best parameters of many starts by squares; from there, those with which large residuals count less."""
    starts, bounds = law.starts(values_n, logs_Kn, STARTS, SEED), law.bounds(values_n)
    found, costs, _ = fit_many(law, np.tile(values_n, (STARTS, 1)), logs_Kn, starts, bounds)
    best = found[costs.argmin()]
    for way in ("linear", "soft_l1"):
        residuals = values_n - law.values(best, logs_Kn)
        # Of noise alone, twice its deviation; never zero, where points lie on the law.
        scale = 2 * float(np.sqrt(np.square(residuals).mean())) + 1e-12 * (np.ptp(values_n) or 1.0)
        best = _fit_from(law, values_n, logs_Kn, best, way, scale)
    return best


def _fit_from(law: Law, values_n, logs_Kn, start: np.ndarray, way: str, scale: float) -> np.ndarray:
    """Return the parameters of scipy's fit from one start; the start where it does not come to an end."""
    lowest, highest = law.bounds(values_n)
    room = 1e-9 * (highest - lowest)
    with warnings.catch_warnings():
        # That no covariance can be given, which nobody asks for.
        warnings.simplefilter("ignore")
        try:
            return curve_fit(
                lambda logs, *parameters: law.values(np.array(parameters), logs),
                logs_Kn,
                values_n,
                p0=np.clip(start, lowest + room, highest - room),
                jac=lambda logs, *parameters: law.slopes(np.array(parameters), logs),
                bounds=(lowest, highest),
                method="trf",
                loss=way,
                f_scale=scale,
                max_nfev=400,
            )[0]
        except RuntimeError:
            return start
