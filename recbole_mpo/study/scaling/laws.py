"""Laws of how a loss falls, or a metric rises, with size, data and compute.

Shapes: n points, K predictors, P parameters; ``...`` are several sets of parameters at once.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Largest and smallest logarithm of an amplitude, at the mean of its predictor, and exponent.
LOG_AMPLITUDES, EXPONENTS = (-20.0, 8.0), (1e-3, 3.0)


class Law(Protocol):
    """What is fitted to points; ``logs_Kn`` are logarithms of the predictors, zero at their geometric means."""

    names: tuple[str, ...]
    """Names of the parameters."""

    def values(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return what the law gives at the points [..., n], for parameters [..., P]."""

    def slopes(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return the derivatives of the values with respect to the parameters, [..., n, P]."""

    def bounds(self, values_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest parameters [P] for points with these values."""

    def starts(self, values_n: np.ndarray, logs_Kn: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Return parameters [count, P] from which to begin a fit, within the bounds."""


@dataclass(frozen=True)
class PowerLaw:
    """F1 and F2: ``E + sum of A x ** -a`` for a loss, ``E - sum of A x ** -a`` for a metric, over the predictors x.

    E is the loss, or the metric, that no size can pass. The parameters are E, and for each predictor the logarithm of A
    at the predictor's geometric mean, and a.

    Attributes:
        predictors: names of the predictors.
        rises: whether the values are of a metric.

    Source: Hoffmann et al., "Training compute-optimal large language models", 2022, eq. 2.
    """

    predictors: tuple[str, ...]
    rises: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return ("E", *(name for one in self.predictors for name in (f"log A ({one})", f"exponent ({one})")))

    def _terms(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return the terms [..., K, n]."""
        log_amplitudes, exponents = parameters[..., 1::2], parameters[..., 2::2]
        return np.exp(log_amplitudes[..., None] - exponents[..., None] * logs_Kn)

    def values(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return what the law gives at the points [..., n]."""
        total = self._terms(parameters, logs_Kn).sum(axis=-2)
        return parameters[..., :1] + (-total if self.rises else total)

    def slopes(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return the derivatives with respect to the parameters [..., n, P]."""
        terms = self._terms(parameters, logs_Kn) * (-1 if self.rises else 1)
        slopes = np.ones((*terms.shape[:-2], terms.shape[-1], parameters.shape[-1]))
        slopes[..., 1::2] = np.swapaxes(terms, -1, -2)
        slopes[..., 2::2] = np.swapaxes(-terms * logs_Kn, -1, -2)
        return slopes

    def bounds(self, values_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest parameters [P]: E between the best value and 1 for a metric, and 0 for a loss."""
        best = (values_n.max(), 1.0) if self.rises else (0.0, values_n.min())
        pairs = [best, *(LOG_AMPLITUDES, EXPONENTS) * len(self.predictors)]
        return tuple(np.array(ends, dtype=float) for ends in zip(*pairs, strict=True))

    def starts(self, values_n: np.ndarray, logs_Kn: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Return parameters [count, P]: E and exponents at random, amplitudes by least squares."""
        draw, spread = np.random.default_rng(seed), np.ptp(values_n) or 1.0
        beyond = spread * np.exp(draw.uniform(np.log(0.01), np.log(10), count))
        ceilings = values_n.max() + beyond if self.rises else values_n.min() - beyond
        exponents = np.exp(draw.uniform(np.log(0.05), np.log(1.5), (count, len(logs_Kn))))
        return self.completed(
            np.clip(ceilings, *(ends[0] for ends in self.bounds(values_n))), exponents, values_n, logs_Kn
        )

    def completed(self, asymptotes: np.ndarray, exponents: np.ndarray, values_n, logs_Kn) -> np.ndarray:
        """Return parameters with these E [S] and exponents [S, K], their amplitudes by least squares."""
        lowest, highest = self.bounds(values_n)
        result = np.empty((len(asymptotes), 1 + 2 * len(logs_Kn)))
        for place, (asymptote, powers) in enumerate(zip(asymptotes, exponents, strict=True)):
            columns = np.exp(-powers[:, None] * logs_Kn).T * (-1 if self.rises else 1)
            amplitudes = np.linalg.lstsq(columns, values_n - asymptote, rcond=None)[0]
            # One that would have the wrong sign begins small.
            amplitudes = np.maximum(amplitudes, 1e-3 * (np.abs(amplitudes).max() or 1.0))
            result[place, 0], result[place, 1::2], result[place, 2::2] = asymptote, np.log(amplitudes), powers
        return np.clip(result, lowest, highest)


@dataclass(frozen=True)
class Logistic:
    """F3: ``low + height / (1 + exp(-rate (x - middle)))`` of one predictor's logarithm x."""

    predictors: tuple[str, ...]
    names = ("low", "height", "rate", "middle")

    def values(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return what the law gives at the points [..., n]."""
        low, height, rate, middle = (parameters[..., place, None] for place in range(4))
        return low + height * _sigmoid(rate * (logs_Kn[0] - middle))

    def slopes(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return the derivatives with respect to the parameters [..., n, 4]."""
        _, height, rate, middle = (parameters[..., place, None] for place in range(4))
        shares = _sigmoid(rate * (logs_Kn[0] - middle))
        steep = height * shares * (1 - shares)
        columns = (np.ones_like(shares), shares, steep * (logs_Kn[0] - middle), -steep * rate)
        return np.stack(np.broadcast_arrays(*columns), axis=-1)

    def bounds(self, values_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return least and largest parameters [4]."""
        spread = np.ptp(values_n) or 1.0
        low = [values_n.min() - 20 * spread, -50 * spread, 1e-3, -50.0]
        return np.array(low), np.array([values_n.max() + 20 * spread, 50 * spread, 20.0, 50.0])

    def starts(self, values_n: np.ndarray, logs_Kn: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Return parameters [count, 4]: rate and middle at random, the others by least squares."""
        draw = np.random.default_rng(seed)
        rates = np.exp(draw.uniform(np.log(0.1), np.log(3), count))
        middles = draw.uniform(logs_Kn[0].min() - 2, logs_Kn[0].max() + 2, count)
        lines = []
        for rate, middle in zip(rates, middles, strict=True):
            columns = np.stack([np.ones_like(logs_Kn[0]), _sigmoid(rate * (logs_Kn[0] - middle))], axis=1)
            lines.append([*np.linalg.lstsq(columns, values_n, rcond=None)[0], rate, middle])
        return np.clip(np.array(lines), *self.bounds(values_n))


@dataclass(frozen=True)
class LogLinear:
    """F4: ``c + sum of k log x``, which has no asymptote; without predictors a constant."""

    predictors: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return ("level", *(f"slope ({one})" for one in self.predictors))

    def values(self, parameters: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return what the law gives at the points [..., n]."""
        return parameters[..., :1] + parameters[..., 1:] @ logs_Kn[: len(self.predictors)]

    def solved(self, values: np.ndarray, logs_Kn: np.ndarray) -> np.ndarray:
        """Return the parameters [..., P] of least squares for values [..., n]."""
        columns = np.stack([np.ones(logs_Kn.shape[1]), *logs_Kn[: len(self.predictors)]], axis=1)
        return values @ np.linalg.pinv(columns).T


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
