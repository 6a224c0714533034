"""The envelope of the best runs at each compute, and how sizes grow along it."""

import numpy as np
import pytest
from planted_points import planted, srt_points

from recbole_mpo.study.scaling.envelope import analytic_slopes, envelope, optimal_slopes
from recbole_mpo.study.scaling.fitting import Points, fit
from recbole_mpo.study.scaling.laws import PowerLaw


def points(compute, values):
    compute = np.array(compute, dtype=float)
    return Points({"C": compute, "N": compute**0.3, "D": compute**0.7}, np.array(values), np.arange(len(values)))


def test_the_best_of_each_bin_is_on_it_as_far_as_it_improves():
    some = points([1, 1.1, 10, 11, 100, 1000], [5.0, 4.0, 3.0, 3.5, 3.2, 2.0])
    assert envelope(some, rises=False).tolist() == [1, 2, 5]
    assert envelope(some, rises=True).tolist() == [0]


def test_one_compute_has_one_best_run():
    assert envelope(points([7, 7, 7], [0.1, 0.3, 0.2]), rises=True).tolist() == [1]


def test_slopes_along_it():
    some = points(np.geomspace(1, 1e6, 20), np.linspace(9, 2, 20))
    slopes = optimal_slopes(some, envelope(some, rises=False))
    for name, slope in (("N", 0.3), ("D", 0.7)):
        assert slopes[name] == pytest.approx({"value": slope, "low": slope, "high": slope})
    assert optimal_slopes(some, np.arange(4)) is None


def test_intervals_of_slopes_are_those_of_a_straight_line():
    some = points(np.geomspace(1, 1e4, 5), np.linspace(9, 2, 5))
    some.predictors["N"][:] *= np.exp([0.1, -0.2, 0.3, -0.2, 0.1])
    slope = optimal_slopes(some, np.arange(5))["N"]
    x, y = np.log(some.predictors["C"]), np.log(some.predictors["N"])
    (value, _), covariance = np.polyfit(x, y, 1, cov=True)
    assert slope["value"] == pytest.approx(value)
    # Student's t of three degrees of freedom.
    assert slope["high"] - slope["low"] == pytest.approx(2 * 3.18245 * np.sqrt(covariance[0, 0]), rel=1e-4)


def test_slopes_by_the_law():
    fitted = fit(PowerLaw(("N", "D")), planted(0, noise=0))
    draws = np.array([fitted.parameters, fitted.parameters])
    slopes = analytic_slopes(fitted, draws)
    assert slopes["N"][0] == pytest.approx(0.30 / 0.65, rel=1e-2) and slopes["D"][0] == pytest.approx(
        0.35 / 0.65, rel=1e-2
    )
    assert slopes["N"][1] == pytest.approx([slopes["N"][0]] * 2)


def test_along_srts_envelope_data_grow_faster_than_parameters():
    some = srt_points()
    slopes = optimal_slopes(some, envelope(some, rises=True))
    assert slopes["N"]["value"] == pytest.approx(0.20, abs=0.05)
    assert slopes["D"]["value"] == pytest.approx(0.51, abs=0.06)
