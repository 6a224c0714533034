"""Intervals cover planted laws, errors on unseen data, and profiles that tell flat from steep."""

import numpy as np
import pytest
from planted_points import TRUTH, planted, srt_points

from recbole_mpo.study.scaling.fitting import fit
from recbole_mpo.study.scaling.laws import LogLinear, PowerLaw
from recbole_mpo.study.scaling.uncertainty import bootstrap, fits_as_well, interval, leave_out, profile

F1 = PowerLaw(("N", "D"))


def coverage(count: int, draws: int, **options) -> float:
    """Return in what share of intervals the planted asymptote and exponents are."""
    inside = []
    for seed in range(count):
        points = planted(seed, **options).of_cells()
        fitted = fit(F1, points)
        ends = map(interval, bootstrap(fitted, points, draws, seed).T)
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
    draws = bootstrap(fit(LogLinear(("N", "D")), means), means, 20)
    assert len(means) == len(points) / 3 and np.ptp(draws, axis=0).min() > 1e-3


def test_draws_are_the_same_for_a_seed():
    points = planted(3)
    fitted = fit(F1, points)
    assert np.array_equal(bootstrap(fitted, points, 10, 1), bootstrap(fitted, points, 10, 1))
    assert not np.array_equal(bootstrap(fitted, points, 10, 1), bootstrap(fitted, points, 10, 2))


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
    alike = fits_as_well(rows, len(known))
    assert 3.5 < min(alike) <= max(alike) < 4.5 and rows[0]["E"] not in alike and rows[-1]["E"] not in alike
    rows = profile(PowerLaw(("N", "D"), rises=True), unknown)
    assert rows[-1]["E"] in fits_as_well(rows, len(unknown))
