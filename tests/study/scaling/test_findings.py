"""What a study says in words, and what it says it cannot know."""

import json

import pytest

from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.all_fits import main_outcomes
from recbole_mpo.study.scaling.findings import findings
from recbole_mpo.study.scaling.outcomes import find_outcomes


@pytest.fixture
def fits(planted):
    return json.loads((planted.output / "fit.json").read_text())


@pytest.fixture
def main(planted):
    return main_outcomes(planted.made, find_outcomes(planted.made.cells, planted.output / RUNS)[0])


def test_an_asymptote_in_doubt_is_said_with_the_reason(main, fits):
    found = fits["metrics"]["loss"]
    found["doubts"] = ["the interval of E reaches its bound 0"]
    says = findings(main, fits, [])
    assert "**loss: asymptote not identified.** The interval of E reaches its bound 0." in says
    assert "They depend on the asymptote" in says
    found["doubts"] = []
    assert "**loss: asymptote** E = " in findings(main, fits, [])


def test_exponents_have_intervals(main, fits):
    one = fits["metrics"]["loss"]["laws"]["F1"]["parameters"]["exponent (N)"]
    assert f"exponent (N) {one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]" in findings(main, fits, [])
    found = fits["metrics"]["loss"]
    slope, points = found["optimal"]["envelope"]["N"], len(found["envelope"])
    said = f"along the {points} points of the envelope of counted operations the best runs grow as N as C^"
    assert f"{said}{slope['value']:.3g} [{slope['low']:.3g}, {slope['high']:.3g}]" in findings(main, fits, [])


def test_an_interval_that_ends_where_the_search_ends_is_said_and_the_best_sizes_are_not(main, fits):
    found = fits["metrics"]["loss"]
    assert "for a compute of 6 N D, F1 has its best at N as C^" in findings(main, fits, [])
    found["laws"]["F1"]["parameters"]["exponent (N)"] = {"value": 2.0, "low": 0.4, "high": 3.0}
    says = "\n".join(line for line in findings(main, fits, []).splitlines() if line.startswith("- loss"))
    assert "its interval ends where the search ends: exponent (N)." in says and "6 N D" not in says
    # By the same rule by which the asymptote is in doubt.
    found["laws"]["F1"]["parameters"]["exponent (N)"] = {"value": 0.1, "low": 0.003, "high": 1.0}
    assert "its interval ends where the search ends: exponent (N)." in findings(main, fits, [])


def test_a_largest_model_that_is_not_the_best_is_said(main, fits):
    found = fits["metrics"]["ndcg@10"]
    assert "the largest model is not the best" not in findings(main, fits, [])
    said = "ndcg@10: at 1 of 4 sizes of the data the largest model is not the best, "
    for beyond, ending in ((None, "in one run each"), (0, "but nowhere by more than seeds"), (1, "by more than seeds")):
        found["turns"] = {"sizes": 4, "worse": 1, "beyond seeds": beyond}
        assert said + ending in findings(main, fits, [])


def test_what_was_not_measured_is_said(main, fits):
    says = findings(main, fits, ["a run"])
    assert (
        "All runs have one seed" in says
        and "the same test users" in says
        and "Not done yet, of the plan (1): a run." in says
    )
    assert "largest number of epochs" not in says
    main[0].record["hit_epoch_limit"] = True
    assert "1 of 16 runs reached the largest number of epochs" in findings(main, fits, [])


def test_a_law_that_could_not_be_fitted_and_a_short_envelope_are_said(main, fits):
    found = fits["metrics"]["loss"]
    found["optimal"]["envelope"] = None
    assert "points, fewer than 5: too few for best sizes." in findings(main, fits, [])
    found["laws"]["F1"], found["width_depth"] = {"missing": "too few points"}, None
    found["doubts"] = ["F1 could not be fitted: too few points"]
    says = findings(main, fits, [])
    assert "loss: exponent" not in says and "width and depth have no exponents of their own" in says


def test_runs_that_are_no_better_than_a_guess_are_said(main, fits):
    assert "of a guess" not in findings(main, fits, [])
    loss = main[0].value("loss")
    main[0].record["data"]["item_num"] = 2
    assert loss > 0 and f"- 1 of {len(main)} runs have a loss of a guess or more" in findings(main, fits, [])
