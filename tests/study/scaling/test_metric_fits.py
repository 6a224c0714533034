"""All laws of a metric, and the flag that the asymptote is not known."""

import json

import numpy as np
import pytest
from planted_points import planted, srt_points

from recbole_mpo.study.scaling import uncertainty
from recbole_mpo.study.scaling.least_squares import fit_many
from recbole_mpo.study.scaling.metric_fits import LAWS, metric_fits


def fits(points, metric="loss", sized=None):
    return metric_fits(metric, points, points if sized is None else sized)


def test_a_planted_law_raises_no_doubt_and_is_in_its_intervals():
    found = fits(planted(0))
    assert found["doubts"] == [] and found["runs"] == found["points"] == 64
    law = found["laws"]["F1"]["parameters"]
    for name, value in (("E", 4), ("exponent (N)", 0.35), ("exponent (D)", 0.3)):
        assert law[name]["low"] <= value <= law[name]["high"]
    assert found["laws"]["constant"]["r2"] == pytest.approx(0, abs=1e-9)
    assert set(found["laws"]) == {*LAWS} and json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("seed", range(5))
def test_straight_lines_raise_the_flag(seed):
    assert fits(planted(seed, form="log-linear"))["doubts"]


def test_srts_runs_raise_the_flag():
    found = fits(srt_points(), "ndcg@5")
    bound, *_, profile = found["doubts"]
    assert bound == "the interval of E reaches its bound 1"
    assert profile.endswith(" to 1 fits as well (ratio of likelihoods, 95 %)")
    assert found["laws"]["F1"]["aicc"] < found["laws"]["F4"]["aicc"] - 100
    width = found["width_depth"]["parameters"]
    assert width["exponent (width)"]["value"] > 0.5
    # Depth does nothing that width would not do better.
    assert np.exp(width["log A (depth)"]["value"]) < 0.2 * np.exp(width["log A (width)"]["value"])


def test_an_exponent_at_its_bound_leaves_the_asymptote_in_doubt():
    # The size does nothing from the second on: any steep exponent fits.
    points = planted(0, sizes=4, noise=0.002)
    N, D = points.predictors["N"], points.predictors["D"]
    draw = np.random.default_rng(1)
    points.values_n[:] = 4 + 0.3 * (N == N.min()) + 2 * (D / 1e5) ** -0.4 + 0.005 * draw.standard_normal(16)
    doubts = fits(points)["doubts"]
    assert any("the interval of exponent (N) reaches its bound 3" in doubt for doubt in doubts)
    assert not any("interval of E" in doubt for doubt in doubts)


def test_a_largest_model_that_is_worse_leaves_the_asymptote_in_doubt():
    points = planted(0, sizes=6, runs=2)
    assert fits(points)["doubts"] == []
    points.values_n[points.predictors["N"] == points.predictors["N"].max()] *= 1.1
    assert any("6 of 6 sizes of the data the largest model is worse" in doubt for doubt in fits(points)["doubts"])


def test_draws_that_did_not_settle_are_a_doubt(monkeypatch):
    monkeypatch.setattr(uncertainty, "fit_many", lambda *given, **more: unsettled(*given, **more))
    assert "50 draws of the bootstrap did not settle" in fits(planted(0))["doubts"]


def unsettled(*given, **more):
    found, costs, settled = fit_many(*given, **more)
    return found, costs, np.zeros_like(settled)


def test_runs_of_several_seeds_are_one_point():
    points = planted(0, sizes=4, runs=3)
    found = fits(points)
    assert (found["runs"], found["points"]) == (48, 16)
    assert found["laws"] == fits(points.of_cells())["laws"]


def test_too_few_runs_are_a_doubt_and_no_error():
    found = fits(planted(0)[np.arange(5)])
    assert found["laws"]["F1"]["missing"].startswith("a law of 5 parameters needs more than 5 points")
    assert found["doubts"][0].startswith("F1 could not be fitted") and "profile" not in found
    assert "AICc" in "".join(fits(planted(0)[np.arange(6) * 11])["doubts"])


def test_width_and_depth_have_exponents_of_their_own_where_both_vary():
    points = planted(0)
    assert fits(points)["width_depth"] is None
    draw = np.random.default_rng(0)
    points.predictors["depth"] = draw.choice([1.0, 2.0, 4.0], len(points))
    points.values_n[:] = 4 + 2 * points.predictors["width"] ** -0.5 + 0.5 * points.predictors["depth"] ** -0.8
    points.values_n[:] += 2 * (points.predictors["D"] / 1e5) ** -0.3
    found = fits(points)["width_depth"]["parameters"]
    named = {name: found[f"exponent ({name})"]["value"] for name in ("width", "depth", "D")}
    assert named == pytest.approx({"width": 0.5, "depth": 0.8, "D": 0.3}, rel=0.05)


def test_a_law_of_compute_has_a_curve_with_its_interval():
    curve = fits(planted(0))["laws"]["F2"]["curve"]
    assert len(curve) == 40 and all(one["low"] <= one["value"] <= one["high"] for one in curve)
