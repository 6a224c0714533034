"""The numbers of a report: means over seeds, costs, inputs in words, and what is not completed."""

import statistics

import pytest
from report_runs import make_groups, make_record, make_run, random_ranks

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.report_rows import Results, Unfinished, group_row, inputs_of
from recbole_mpo.study.run_groups import RunGroup
from recbole_mpo.study.statistics import compare_groups

METRICS = ("hit@10", "ndcg@10")


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return make_groups(tmp_path_factory.mktemp("runs"))


def test_means_are_over_the_completed_runs(groups):
    row = group_row(groups[1], METRICS, {})
    values = [record["test"]["ndcg@10"] for record, _ in groups[1].runs if record["test"]]
    score = row.scores["ndcg@10"]
    assert (score.mean, score.sd) == (statistics.fmean(values), statistics.stdev(values)) and len(values) == 2
    assert score.valid_mean == score.mean and score.difference is None and score.published is None
    assert row.seeds == (1, 2) and row.unfinished == (Unfinished(3, "failed", "OSError: no space"),)
    assert row.best_epochs == (4, 3) and row.epoch_limits == (5, None)
    assert (row.total, row.trainable, row.seconds, row.peak_mb) == (6525864, 2109304, 30, 512.5)
    assert isinstance(row.trainable, int), "a number of parameters is whole"


def test_costs_that_differ_are_averaged_and_missing_ones_are_none(tmp_path):
    runs = [
        make_run(tmp_path / str(seed), random_ranks(seed), seed=seed, seconds__total=seconds, peak_memory_mb=peak)
        for seed, seconds, peak in ((1, 10.0, 100.0), (2, 25.0, None))
    ]
    row = group_row(RunGroup("a", tuple(runs)), METRICS, {})
    assert row.seconds == 17.5 and row.peak_mb is None


@pytest.mark.parametrize("odd", [10**400, 1e308, -1e308, "many"])
def test_costs_that_cannot_be_are_none(tmp_path, odd):
    record, path = make_run(tmp_path, random_ranks(1))
    row = group_row(
        RunGroup("a", (({**record, "params": {"total": odd}, "seconds": {"total": odd}}, path),)), METRICS, {}
    )
    assert row.total is None and row.seconds is None


@pytest.mark.parametrize(
    ("place", "label"),
    [(0, "UniSRec"), (1, "MPORec [1 of 3 failed]"), (2, "Pop"), (3, "LoRA [failed]")],
)
def test_labels_tell_what_is_not_completed(groups, place, label):
    assert group_row(groups[place], METRICS, {}).label == label


def test_a_group_without_runs_is_not_run():
    row = group_row(RunGroup("PeterRec", ()), METRICS, {})
    assert row.label == "PeterRec [not run]" and row.inputs == "" and row.scores["hit@10"].mean is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "text"),
        ({"item_input": "text+id"}, "text+id"),
        ({"config__pretrained": "p.pth"}, "text, pre-trained"),
        ({"config__evidence": ["covisit", "words"]}, "text + evidence (covisit, words)"),
        ({"config__evidence": []}, "text"),
        ({"config__evidence": ["words"], "config__pretrained": "p.pth"}, "text + evidence (words), pre-trained"),
        ({"item_input": "none", "reads": ["interactions", "text"]}, "interactions, text; no training"),
        ({"item_input": "none", "reads": None}, "nothing; no training"),
    ],
)
def test_inputs_are_named_in_words(changes, text):
    assert inputs_of(make_record(**changes)) == text


def test_a_model_without_epochs_has_no_best_one(tmp_path):
    run = make_run(tmp_path, random_ranks(1), epochs_run=0, best_epoch=-1, hit_epoch_limit=True)
    row = group_row(RunGroup("as pre-trained", (run,)), METRICS, {})
    assert row.best_epochs == (None,) and row.epoch_limits == (None,)


def test_other_test_metrics_are_kept_where_every_run_has_them(tmp_path):
    more = ({"coverage@10": 0.5, "popularity@10": 20.0}, {"coverage@10": 0.7})
    runs = []
    for seed, extra in enumerate(more):
        record, path = make_run(tmp_path / str(seed), random_ranks(seed), seed=seed)
        record["recommended"] = extra
        runs.append((record, path))
    assert group_row(RunGroup("a", tuple(runs)), METRICS, {}).beside == pytest.approx({"coverage@10": 0.6})


class TestResults:
    def test_differences_are_those_of_the_statistics(self, groups):
        results = Results.of(groups, 0, ["HIT@10", "ndcg@10", "hit@10"], wilcoxon=False)
        expected = compare_groups(groups, 0, METRICS)
        assert results.metrics == METRICS and results.reference_name == "UniSRec"
        for row, found in zip(results.rows, expected, strict=True):
            assert {name: score.difference for name, score in row.scores.items()} == {
                name: found.get(name) for name in METRICS
            }
        assert results.rows[0].scores["hit@10"].difference is None
        assert results.rows[1].scores["hit@10"].difference.mean > 0

    def test_the_main_metric_is_the_one_that_runs_are_chosen_by(self, groups):
        assert Results.of(groups, 0, METRICS, False).main == "ndcg@10"
        assert Results.of(groups, 0, ["hit@50", "hit@10"], False).main == "hit@50"

    def test_a_reference_counted_from_the_end(self, groups):
        assert Results.of(groups, -2, METRICS, False).reference == 2

    def test_a_metric_that_ranks_do_not_give_is_refused(self, groups):
        with pytest.raises(RecordError, match="the metric gauc does not follow from ranks"):
            Results.of(groups, 0, ["gauc"], False)


def test_seconds_to_the_best_epoch_are_of_training_and_validation(tmp_path):
    record, path = make_run(tmp_path / "one", random_ranks(3))
    epochs = [{"epoch": epoch, "train_seconds": 2.0 + epoch, "valid_seconds": 0.5} for epoch in range(3)]
    record |= {"history": epochs, "best_epoch": 1, "checkpoint_mb": 7.5}
    row = group_row(RunGroup("a", ((record, path),)), ["hit@10"], {})
    assert (row.seconds_to_best, row.checkpoint_mb) == (6.0, 7.5)
