"""Fits of single laws: planted exponents come back, and SRT's released runs say what was found before.

srt_runs.csv holds figures of the 119 finished runs that mercadolibre/srt released (arXiv 2412.07585).
"""

import numpy as np
import pytest
from planted_points import TRUTH, planted, srt_points

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.scaling.envelope import envelope
from recbole_mpo.study.scaling.fitting import Points, assessed, fit
from recbole_mpo.study.scaling.laws import Logistic, LogLinear, PowerLaw

F1 = PowerLaw(("N", "D"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_exponents_come_back(seed):
    found = fit(F1, planted(seed)).named()
    for name in ("exponent (N)", "exponent (D)"):
        assert found[name] == pytest.approx(TRUTH[name], rel=0.1)
    assert found["E"] == pytest.approx(4, rel=0.05)


def test_without_noise_the_law_is_found_exactly():
    fitted = fit(F1, planted(0, noise=0))
    assert fitted.r2 == pytest.approx(1, abs=1e-9)
    assert {name: fitted.named()[name] for name in TRUTH} == pytest.approx(TRUTH, rel=1e-3)


def test_one_wild_run_counts_little():
    points = planted(1)
    points.values_n[3] *= 1.5
    assert fit(F1, points).named()["exponent (D)"] == pytest.approx(TRUTH["exponent (D)"], rel=0.15)


def test_a_law_needs_more_points_than_parameters():
    points = planted(0)
    with pytest.raises(RecordError, match="a law of 5 parameters needs more than 5 points"):
        fit(F1, points[np.arange(5)])
    assert fit(LogLinear(("N", "D")), points[np.arange(5) * 9]).aicc is None


def test_straight_lines_win_by_akaike_where_there_are_straight_lines():
    points = planted(4, form="log-linear")
    assert fit(LogLinear(("N", "D")), points).aicc < fit(F1, points).aicc
    points = planted(4)
    assert fit(LogLinear(("N", "D")), points).aicc > fit(F1, points).aicc + 20


class TestSRT:
    def test_the_published_law_explains_four_fifths(self):
        parameters = np.array([0.163, np.log(18.56), 0.376, np.log(2.9), 0.364])
        published = assessed(PowerLaw(("N", "D"), rises=True), parameters, np.zeros(2), srt_points())
        assert published.r2 == pytest.approx(0.81, abs=0.01)
        assert published.rms == pytest.approx(0.0103, abs=1e-4)

    def test_the_published_sigmoid_is_close_to_the_envelope(self):
        points = srt_points()
        best = points[envelope(points, rises=True)]
        sigmoid = assessed(Logistic(("C",)), np.array([-0.247, 0.396, 0.18, 24.44]), np.zeros(1), best)
        assert sigmoid.rms == pytest.approx(0.0035, abs=2e-4)

    def test_a_free_fit_runs_away(self):
        fitted = fit(PowerLaw(("N", "D"), rises=True), srt_points())
        assert fitted.r2 == pytest.approx(0.975, abs=0.001)
        assert fitted.named()["E"] == pytest.approx(1, abs=1e-3) and fitted.named()["exponent (D)"] < 0.02


def test_cells_of_one_size_remain_so_however_many_seeds_they_have():
    sizes = np.array([44_516.0, 44_516, 44_516, 44_516, 44_516, 89_274])
    compute = np.array([1.0, 2, 4, 5, 5, 7])
    means = Points({"D": sizes, "C": compute}, np.arange(6.0), np.array([0, 0, 0, 1, 1, 2])).of_cells()
    assert means.predictors["D"].tolist() == [44_516, 44_516, 89_274]
    assert means.predictors["C"] == pytest.approx([2, 5, 7]) and means.values_n.tolist() == [1, 3.5, 5]
