"""Many fits at once give what scipy gives for each."""

import numpy as np
import pytest
from scipy.optimize import least_squares as by_scipy

from recbole_mpo.study.scaling import least_squares
from recbole_mpo.study.scaling.laws import PowerLaw
from recbole_mpo.study.scaling.least_squares import fit_many

LAW = PowerLaw(("N", "D"))
LOGS = np.array(np.meshgrid(np.linspace(-3, 3, 6), np.linspace(-2, 4, 6))).reshape(2, -1)
TRUTH = np.array([4.0, 0.2, 0.5, -0.1, 0.3])


@pytest.fixture
def values():
    noise = np.random.default_rng(0).standard_normal((5, LOGS.shape[1]))
    return LAW.values(TRUTH, LOGS) + 0.05 * noise


def test_each_set_is_fitted_as_by_scipy(values):
    bounds = LAW.bounds(values.min(axis=0))
    found, costs, settled = fit_many(LAW, values, LOGS, np.tile(TRUTH, (5, 1)), bounds)
    assert settled.all()
    for own, cost, one in zip(found, costs, values, strict=True):
        residuals = lambda parameters, one=one: one - LAW.values(parameters, LOGS)  # noqa: E731
        wanted = by_scipy(residuals, TRUTH, bounds=bounds, xtol=1e-12, ftol=1e-12)
        assert own == pytest.approx(wanted.x, rel=1e-3, abs=1e-4) and cost == pytest.approx(2 * wanted.cost, rel=1e-6)


def test_parameters_stay_within_the_bounds_and_fixed_ones_as_they_are(values):
    lowest, highest = LAW.bounds(values[0])
    highest[2] = 0.3
    start = np.tile(TRUTH, (5, 1))
    start[:, 0], start[:, 2] = 3.5, 0.2
    found, _, _ = fit_many(LAW, values, LOGS, start, (lowest, highest), fixed=(0,))
    assert (found[:, 0] == 3.5).all() and (found[:, 2] <= 0.3).all() and found[:, 2] == pytest.approx(0.3)


def test_a_start_on_the_law_stays_there():
    exact = LAW.values(TRUTH, LOGS)[None]
    found, costs, _ = fit_many(LAW, exact, LOGS, TRUTH[None], LAW.bounds(exact[0]))
    assert np.array_equal(found[0], TRUTH) and costs[0] == 0


def test_a_long_valley_is_followed_to_its_end():
    # Straight lines in the logarithms, which a power law is like with an asymptote far away.
    values = (12 - 0.35 * LOGS[0] - 0.25 * LOGS[1])[None]
    bounds = LAW.bounds(values[0])
    near = LAW.completed(values.min(axis=1) - 1, np.array([[0.3, 0.3]]), values[0], LOGS)
    found, costs, settled = fit_many(LAW, values, LOGS, near, bounds)
    far = LAW.completed(np.zeros(1), np.array([[0.05, 0.05]]), values[0], LOGS)
    _, best, _ = fit_many(LAW, values, LOGS, far, bounds)
    assert settled.all() and found[0, 0] < 0.1 and costs[0] == pytest.approx(best[0], rel=1e-3)


def test_sets_that_had_too_few_steps_are_told(values, monkeypatch):
    monkeypatch.setattr(least_squares, "STEPS", 3)
    assert not fit_many(LAW, values, LOGS, np.tile(TRUTH, (5, 1)), LAW.bounds(values[0]))[2].any()
