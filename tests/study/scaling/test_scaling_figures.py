"""The figures: each shows the rows of its CSV, and the laws that were fitted."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling import scaling_figures as figures
from recbole_mpo.study.scaling.all_fits import main_outcomes, sized_outcomes
from recbole_mpo.study.scaling.outcomes import COMPUTE, DATA, SIZE, find_outcomes, points_of
from recbole_mpo.study.scaling.transfer_gains import transfer_gains


@pytest.fixture
def outcomes(planted):
    return find_outcomes(planted.made.cells, planted.output / RUNS)[0]


@pytest.fixture
def found(planted):
    return json.loads((planted.output / "fit.json").read_text())["metrics"]["loss"]


def marks_of(picture):
    return [trace for trace in picture.plot["data"] if "markers" in trace["mode"]]


def shown(picture):
    return sorted(pair for trace in marks_of(picture) for pair in zip(trace["x"], trace["y"], strict=True))


def test_a_law_is_what_the_file_holds(planted, outcomes, found):
    points = points_of(main_outcomes(planted.made, outcomes), "loss")
    fitted = figures.law_of(found, "loss", "F1")
    residuals = points.values_n - fitted.at(points)
    assert np.sqrt(np.square(residuals).mean()) == pytest.approx(found["laws"]["F1"]["rms"])
    found["laws"]["F1"] = {"missing": "too few"}
    assert figures.law_of(found, "loss", "F1") is None


@pytest.mark.parametrize(("x", "by"), [(DATA, SIZE), (SIZE, DATA)])
def test_a_metric_against_data_or_size(planted, outcomes, found, x, by):
    main = main_outcomes(planted.made, outcomes)
    picture = figures.against(main, "loss", x, by, found)
    assert shown(picture) == sorted((row[x], row["test loss"]) for row in picture.rows) and len(picture.rows) == 16
    assert picture.name == f"loss_{x}" and len(marks_of(picture)) == 4
    lines = [trace for trace in picture.plot["data"] if trace["mode"] == "lines"]
    assert len(lines) == 4 and all(np.diff(line["y"]).max() < 0 for line in lines)
    assert picture.plot["layout"]["xaxis"]["type"] == "log"


def test_a_metric_against_compute_with_the_envelope(planted, outcomes, found):
    main = main_outcomes(planted.made, outcomes)
    picture = figures.against_compute(main, "loss", found)
    on, below = marks_of(picture)
    assert len(on["x"]) == len(found["envelope"]) and len(on["x"]) + len(below["x"]) == 16
    assert sum(row["envelope"] == "yes" for row in picture.rows) == len(found["envelope"])
    assert {trace.get("name") for trace in picture.plot["data"]} >= {"95 % of draws", "F2"}
    for name in ("F2", "F3"):
        found["laws"][name] = {"missing": "too few"}
    assert len(figures.against_compute(main, "loss", found).plot["data"]) == 2


def test_a_metric_against_depth(planted, outcomes):
    picture = figures.width_and_depth(sized_outcomes(planted.made, outcomes), "loss")
    assert {row["D"] for row in picture.rows} == {180_000} and len(picture.rows) == 6
    (line,) = [trace for trace in picture.plot["data"] if trace["name"].startswith("width 128")]
    assert line["x"] == [1, 2, 4]
    assert figures.width_and_depth(main_outcomes(planted.made, outcomes), "loss") is None


def test_what_a_law_leaves(planted, outcomes, found):
    main = main_outcomes(planted.made, outcomes)
    picture = figures.residuals(main, "loss", found)
    left = np.array([row["left"] for row in picture.rows])
    assert np.sqrt(np.square(left).mean()) == pytest.approx(found["laws"]["F1"]["rms"])
    found["laws"]["F1"] = {"missing": "too few"}
    assert figures.residuals(main, "loss", found) is None


def test_a_profile_of_the_asymptote(found):
    picture = figures.profile_picture("loss", found)
    assert picture.plot["data"][0]["y"] == [row["r2"] for row in found["profile"]]
    del found["profile"]
    assert figures.profile_picture("loss", found) is None


def test_transfer_against_the_data_before(planted, outcomes):
    gains = transfer_gains(outcomes, planted.made.metrics)
    picture = figures.transfer_picture(gains, "ndcg@10", "Scientific")
    assert picture.name == "ndcg_at_10_transfer" and len(shown(picture)) == 8
    assert all("error_y" in trace for trace in picture.plot["data"])
    assert all("error_y" not in one for one in figures.transfer_picture(gains, "loss", "Scientific").plot["data"])
    assert figures.transfer_picture([], "loss", "Scientific") is None


def test_names_are_shown_as_they_are(planted, outcomes, found):
    main = main_outcomes(planted.made, outcomes)
    picture = figures.against(main, "ndcg@10", COMPUTE, SIZE, {"laws": {"F1": {"missing": "none"}}})
    assert picture.name == "ndcg_at_10_C" and json.dumps(picture.plot, allow_nan=False)
    go.Figure(picture.plot)
