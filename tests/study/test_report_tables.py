"""Tables of a report: rounded from the rows, with marks, and only where there is something to show."""

import math

import pytest
from report_runs import make_groups, make_run, random_ranks, with_difference

from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.report_tables import (
    beside_table,
    cost_table,
    difference_table,
    published_tables,
    result_table,
    unfinished_table,
)
from recbole_mpo.study.run_groups import RunGroup


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results.of(make_groups(tmp_path_factory.mktemp("runs")), 0, ["hit@10", "ndcg@10"], False)


def texts(table):
    """Rows as dictionaries of what is shown."""
    assert all(len(row) == len(table.columns) for row in table.rows)
    return [{name: cell.text for name, cell in zip(table.columns, row, strict=True)} for row in table.rows]


def test_results_show_mean_and_spread(results):
    rows = texts(result_table(results))
    score = results.rows[1].scores["ndcg@10"]
    assert [row["model"] for row in rows] == ["UniSRec", "MPORec [1 of 3 failed]", "Pop", "LoRA [failed]"]
    assert rows[1]["test ndcg@10"] == f"{score.mean:.4f} ± {score.sd:.4f}" and rows[1]["seeds"] == "1, 2"
    assert rows[2]["test ndcg@10"] == f"{results.rows[2].scores['ndcg@10'].mean:.4f}", "one seed has no spread"
    assert rows[3]["test ndcg@10"] == rows[3]["best epoch"] == "" and rows[3]["inputs"] == "text"


def test_runs_that_the_limit_of_epochs_ended_are_marked_and_explained(results):
    table = result_table(results)
    assert [row["best epoch"] for row in texts(table)] == ["3, 3", "4 of 5, 3", "0", ""]
    assert any("limit of 50 epochs" in note for note in table.notes)
    assert any("inputs" in note for note in table.notes) and table.marked == 0


def test_a_report_of_one_input_without_limits_says_neither(tmp_path):
    group = RunGroup("a", (make_run(tmp_path, random_ranks(1)),))
    assert result_table(Results.of([group], 0, ["hit@10"], False)).notes == (
        "Mean ± standard deviation over the seeds (n − 1).",
    )


def test_differences_show_what_the_statistics_say(results):
    rows = texts(difference_table(results, "ndcg@10"))
    found = results.rows[1].scores["ndcg@10"].difference
    percent = 100 * found.mean / results.rows[0].scores["ndcg@10"].mean
    assert set(rows[0].values()) == {"", "UniSRec"} and set(rows[3].values()) == {"", "LoRA [failed]"}
    assert rows[1]["difference"] == f"{found.mean:+.4f}" and rows[1]["in %"] == f"{percent:+.1f}"
    assert rows[1]["95 % interval, users"] == f"{found.low:+.4f} to {found.high:+.4f}"
    assert rows[1]["95 % interval, seeds too"] == f"{found.seeds_low:+.4f} to {found.seeds_high:+.4f}"
    assert rows[2]["95 % interval, seeds too"] == "", "one seed"
    assert rows[1]["wins / ties / losses"] == f"{found.wins} / {found.ties} / {found.losses}"
    assert "p (Wilcoxon)" not in rows[1]


@pytest.mark.parametrize(
    ("p_value", "text"), [(3e-7, "< 0.0001"), (0.00123, "0.0012"), (0.0456, "0.046"), (1, "1.000")]
)
def test_small_p_values_are_a_bound(results, p_value, text):
    changed = with_difference(results, 1, "ndcg@10", p_holm=p_value, effect_size=math.inf)
    row = texts(difference_table(changed, "ndcg@10"))[1]
    assert row["p (Holm)"] == text and row["effect size"] == "+inf"


def test_wilcoxon_comes_with_its_caveat(tmp_path):
    table = difference_table(Results.of(make_groups(tmp_path), 0, ["hit@10"], True), "hit@10")
    assert texts(table)[1]["p (Wilcoxon)"] and "too often" in table.notes[0]


def test_costs(results):
    rows = texts(cost_table(results))
    assert rows[0]["total parameters"] == "6,525,864" and rows[0]["trainable"] == "1,900,000"
    assert rows[0]["trainable %"] == "29.1" and rows[2]["trainable %"] == "" and rows[2]["total parameters"] == "0"
    assert (rows[0]["s/epoch"], rows[0]["total s"], rows[0]["peak MB"]) == ("2.5", "30", "512")
    assert rows[0]["trained MB"] == "7.6" and (rows[0]["s to best"], rows[0]["checkpoint MB"]) == ("", "")
    assert set(rows[3].values()) == {"", "LoRA [failed]"}


def test_metrics_beside_accuracy_are_shown_where_records_hold_them(results, tmp_path):
    assert beside_table(results) is None
    record, path = make_run(tmp_path / "more", random_ranks(5))
    record["recommended"] = {"coverage@10": 0.25}
    groups = [RunGroup("a", ((record, path),)), *results.groups]
    rows = texts(beside_table(Results.of(groups, 0, ["hit@10"], False)))
    assert rows[0] == {"model": "a", "coverage@10": "0.2500"} and rows[1]["coverage@10"] == ""


def test_runs_that_are_not_completed_are_listed_with_their_reason(results):
    assert texts(unfinished_table(results)) == [
        {"model": "MPORec", "seed": "3", "status": "failed", "reason": "OSError: no space"},
        {"model": "LoRA", "seed": "1", "status": "failed", "reason": "ConfigError: rank is -1"},
    ]
    done = Results.of(results.groups[:1], 0, ["hit@10"], False)
    assert unfinished_table(done) is None


class TestPublished:
    def tables(self, tmp_path, metrics=("hit@10", "ndcg@50"), **changes):
        run = make_run(tmp_path, random_ranks(1), **{"dataset": "Scientific", **changes})
        return {
            table.title: texts(table)
            for table in published_tables(Results.of([RunGroup("a", (run,))], 0, metrics, False))
        }

    def test_the_papers_figures_stand_beside_the_same_model(self, tmp_path):
        tables = self.tables(tmp_path)
        (row,) = tables["Beside the figures of the MPORec paper"]
        assert (row["published hit@10"], row["published ndcg@50"]) == ("0.1103", "0.0835") and row["test hit@10"]
        assert {"MPORec paper, table 2", "AlwaysFHao/MMM4Rec, reference_log"} <= {
            row["source"] for row in tables["How published figures differ from these runs"]
        }

    def test_figures_of_others_have_their_own_table(self, tmp_path):
        rows = self.tables(tmp_path, model="Pop")["Published by others"]
        assert {"method": "MISSRec id pre-trained", "inputs": "text+image+id", "test hit@10": "0.1360"}.items() <= {
            **[row for row in rows if row["method"] == "MISSRec id pre-trained"][0]
        }.items()

    def test_a_model_or_dataset_that_nobody_published_has_no_table(self, tmp_path):
        assert list(self.tables(tmp_path, model="Pop"))[0] == "Published by others"
        assert self.tables(tmp_path / "other", dataset="tiny") == {}

    def test_nothing_published_stands_beside_a_share_of_the_users(self, tmp_path):
        assert not self.tables(tmp_path, config__eval_users=0.5)

    def test_metrics_that_nobody_published_are_left_out(self, tmp_path):
        rows = self.tables(tmp_path, metrics=("hit@10", "mrr@5"))["Published by others"]
        assert "test hit@10" in rows[0] and "test mrr@5" not in rows[0]
