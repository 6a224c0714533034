"""Intervals cover planted laws, errors on unseen data, and profiles that tell flat from steep."""

import numpy as np
import pytest
from planted_points import TRUTH, planted, srt_points

from recbole_mpo.study.scaling import least_squares
from recbole_mpo.study.scaling.fitting import Points, fit
from recbole_mpo.study.scaling.laws import LogLinear, PowerLaw
from recbole_mpo.study.scaling.uncertainty import bootstrap, fits_as_well, interval, leave_out, profile

F1 = PowerLaw(("N", "D"))


def flat_valley():
    """Return 16 points of a metric that rises with the logarithm of the data, as the first study's did."""
    size, data = (one.ravel() for one in np.meshgrid([1.2e5, 2.6e5, 6.1e5, 1.6e6], [44516.0, 89274, 179387, 360780]))
    values = 0.018 + 0.0023 * np.log(data / 1.3e5) - 0.0004 * (size / 4e5) ** -1.8
    values += 4e-4 * np.random.default_rng(0).standard_normal(16)
    return Points({"N": size, "D": data}, values, np.arange(16))


def coverage(count: int, draws: int, **options) -> float:
    """Return in what share of intervals the planted asymptote and exponents are."""
    inside = []
    for seed in range(count):
        points = planted(seed, **options).of_cells()
        fitted = fit(F1, points)
        ends = map(interval, bootstrap(fitted, points, draws, seed)[0].T)
        named = dict(zip(F1.names, ends, strict=True))
        inside += [named[name][0] <= value <= named[name][1] for name, value in TRUTH.items()]
    return float(np.mean(inside))


def test_intervals_cover_a_planted_law():
    assert coverage(40, 100, sizes=6) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"sizes": 5}, {"sizes": 8}, {"sizes": 6, "runs": 8}])
def test_intervals_cover_planted_laws_of_many_studies(options):
    assert 0.9 <= coverage(200, 200, **options) <= 0.99


def test_seeds_that_agree_hide_no_law_that_fails():
    points = planted(0, runs=3, noise=0)
    points.values_n[points.cells_n == 5] *= 1.2
    means = points.of_cells()
    draws, _ = bootstrap(fit(LogLinear(("N", "D")), means), means, 20)
    assert len(means) == len(points) / 3 and np.ptp(draws, axis=0).min() > 1e-3


def test_draws_are_the_same_for_a_seed():
    points = planted(3)
    fitted = fit(F1, points)
    draws = {key: bootstrap(fitted, points, 10, seed)[0] for key, seed in (("a", 1), ("b", 1), ("c", 2))}
    assert np.array_equal(draws["a"], draws["b"]) and not np.array_equal(draws["a"], draws["c"])


def test_an_interval_of_the_asymptote_covers_what_fits_as_well_in_a_flat_valley():
    points = flat_valley()
    law = PowerLaw(("N", "D"), rises=True)
    draws, unsettled = bootstrap(fit(law, points), points)
    low, high = interval(draws[:, 0])
    alike = fits_as_well(profile(law, points), len(points), 5)
    assert max(alike) == 1 and high == pytest.approx(1, abs=1e-3)
    assert low <= 1.02 * min(alike) and unsettled == 0


def test_draws_that_did_not_settle_are_counted(monkeypatch):
    monkeypatch.setattr(least_squares, "STEPS", 20)
    points = flat_valley()
    assert bootstrap(fit(PowerLaw(("N", "D"), rises=True), points), points, 20)[1] > 0


def test_few_points_tell_fewer_asymptotes_apart():
    rows = [{"E": 1.0, "r2": 0.90}, {"E": 2.0, "r2": 0.87}]
    assert len(fits_as_well(rows, 16, 5)) == 2 and len(fits_as_well(rows, 160, 5)) == 1
    # Without regard for the five parameters it would be beyond 3.84.
    assert 16 * np.log(0.13 / 0.10) > 3.84


def test_an_interval_has_the_middle_share():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_errors_on_data_left_out():
    points = planted(2, noise=0)
    errors = leave_out(F1, points, "D")
    assert list(errors) == sorted(set(points.predictors["D"])) and max(errors.values()) < 1e-3
    lines = leave_out(LogLinear(("N", "D")), points, "D")
    assert lines[max(lines)] > 0.1
    assert leave_out(F1, points[np.arange(6)], "D") == {}


def test_a_profile_is_steep_where_the_asymptote_is_known_and_flat_where_not():
    rows = profile(F1, planted(0))
    best = max(rows, key=lambda row: row["r2"])
    assert best["E"] == pytest.approx(4, abs=0.4) and best["r2"] - min(row["r2"] for row in rows) > 0.01
    srt = profile(PowerLaw(("N", "D"), rises=True), srt_points())
    E, r2, exponents = (np.array([row[key] for row in srt]) for key in ("E", "r2", "exponent (D)"))
    assert np.interp(0.13, E, r2) == pytest.approx(0.960, abs=0.001) and r2[-1] == pytest.approx(0.975, abs=0.001)
    assert (np.diff(exponents) < 0).all() and E[-1] == 1
    assert np.interp(0.13, E, exponents) == pytest.approx(0.253, abs=0.005)
    assert exponents[-1] == pytest.approx(0.009, abs=1e-3)


def test_asymptotes_that_fit_as_well_are_few_where_it_is_known_and_reach_the_end_where_not():
    known, unknown = planted(0), srt_points()
    rows = profile(F1, known)
    alike = fits_as_well(rows, len(known), 5)
    assert 3.5 < min(alike) <= max(alike) < 4.5 and rows[0]["E"] not in alike and rows[-1]["E"] not in alike
    rows = profile(PowerLaw(("N", "D"), rises=True), unknown)
    assert rows[-1]["E"] in fits_as_well(rows, len(unknown), 5)
