"""Figures about groups: their data are the report's, and plotly accepts their plots."""

import plotly.graph_objects as go
import pytest
from report_runs import make_groups, make_run, random_ranks, with_difference

from recbole_mpo.study.report_figures import cost_pictures, difference_picture, training_picture
from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.run_groups import RunGroup

METRICS = ("hit@10", "ndcg@10")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results.of(make_groups(tmp_path_factory.mktemp("runs")), 0, METRICS, False)


def test_plotly_knows_every_setting(results):
    for picture in (difference_picture(results), training_picture(results), *cost_pictures(results)):
        go.Figure(picture.plot)
        names = {key for row in picture.rows for key in row}
        assert all(set(row) == names for row in picture.rows), "one header for all rows"


def test_differences_have_a_panel_per_metric(results):
    picture = difference_picture(results)
    assert [(row["model"], row["metric"]) for row in picture.rows] == [
        (name, metric) for metric in METRICS for name in ("MPORec", "Pop")
    ]
    found = results.rows[1].scores["ndcg@10"].difference
    row = picture.rows[2]
    assert (row["difference"], row["low"], row["seeds_high"]) == (found.mean, found.low, found.seeds_high)
    layout = picture.plot["layout"]
    assert layout["xaxis"]["title"]["text"] == "hit@10" and layout["xaxis2"]["title"]["text"] == "ndcg@10"
    trace = picture.plot["data"][3]
    assert trace["x"][0] == found.mean and trace["error_x"]["arrayminus"][0] == found.mean - found.low
    assert trace["x"][0] + trace["error_x"]["array"][0] == pytest.approx(found.high)


def test_differences_that_are_not_significant_are_hollow(results):
    changed = with_difference(results, 1, "hit@10", p_holm=0.049)
    changed = with_difference(changed, 2, "hit@10", p_holm=0.05)
    colours = difference_picture(changed).plot["data"][1]["marker"]["color"]
    assert colours[1] == "#FFFFFF" != colours[0]


def test_one_group_has_no_differences(results):
    assert difference_picture(Results.of(results.groups[:1], 0, METRICS, False)) is None


class TestTraining:
    def test_there_is_a_line_per_run_of_several_epochs(self, results):
        picture = training_picture(results)
        lines = [(trace["name"], trace["showlegend"]) for trace in picture.plot["data"]]
        assert lines == [("UniSRec", True), ("UniSRec", False), ("MPORec", True), ("MPORec", False)]
        assert picture.plot["data"][0]["y"] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
        assert picture.rows[0] == {"model": "UniSRec", "seed": 1, "epoch": 0, "valid ndcg@10": 0.01}

    @pytest.mark.parametrize(
        "history",
        [None, 3, "text", [None], [{}], [{"epoch": 1, "valid": None}], [{"epoch": "1", "valid": {"ndcg@10": 1}}]],
    )
    def test_odd_histories_are_left_out(self, tmp_path, history):
        run = make_run(tmp_path, random_ranks(1), history=history)
        assert training_picture(Results.of([RunGroup("a", (run,))], 0, METRICS, False)) is None

    def test_a_run_that_failed_in_training_shows_what_it_reached(self, tmp_path):
        history = [{"epoch": epoch, "valid": {"ndcg@10": 0.1}} for epoch in range(3)]
        good, bad = (
            make_run(tmp_path / name, random_ranks(1), history=history, status=status)
            for name, status in (("good", "completed"), ("bad", "failed"))
        )
        groups = [RunGroup("good", (good,)), RunGroup("bad", (bad,))]
        assert len(training_picture(Results.of(groups, 0, METRICS, False)).plot["data"]) == 2


class TestCosts:
    def test_each_cost_has_its_figure(self, results):
        pictures = cost_pictures(results)
        assert [picture.name for picture in pictures] == ["quality_parameters", "quality_seconds", "quality_memory"]
        row = results.rows[0]
        assert pictures[0].rows[0] == {
            "model": "UniSRec", "trainable parameters": 1900000, "test ndcg@10": row.scores["ndcg@10"].mean,
            "sd": row.scores["ndcg@10"].sd,
        }  # fmt: skip
        assert [row["model"] for row in pictures[0].rows] == ["UniSRec", "MPORec", "Pop"]

    def test_a_model_without_parameters_is_a_line_across_a_logarithmic_plot(self, tmp_path):
        sizes = {"small": 1_000, "large": 1_000_000, "none": 0}
        groups = [
            RunGroup(name, (make_run(tmp_path / name, random_ranks(1), params__trainable=size),))
            for name, size in sizes.items()
        ]
        picture = cost_pictures(Results.of(groups, 0, METRICS, False))[0]
        level = picture.rows[2]["test ndcg@10"]
        (shape,) = picture.plot["layout"]["shapes"]
        assert (shape["y0"], shape["y1"], shape["xref"]) == (level, level, "paper")
        assert picture.plot["data"][2]["x"] == [None] and "A line across" in picture.notes[-1]

    def test_costs_that_no_record_holds_have_no_figure(self, tmp_path):
        run = make_run(tmp_path, random_ranks(1), params={}, peak_memory_mb=None, seconds={})
        assert cost_pictures(Results.of([RunGroup("a", (run,))], 0, METRICS, False)) == []
