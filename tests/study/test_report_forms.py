"""A report as Markdown, CSV and LaTeX: the same numbers, and no text that breaks a line or a column."""

import csv
import io
import re

import pytest
from report_runs import make_groups, make_run, random_ranks, with_difference

from recbole_mpo.study.report_forms import as_long_csv, as_report_markdown, as_tex
from recbole_mpo.study.report_parts import Picture, Section, Shown, Table
from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.run_groups import RunGroup

METRICS = ("hit@10", "ndcg@10")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results.of(make_groups(tmp_path_factory.mktemp("runs")), 0, METRICS, False)


class TestMarkdown:
    TABLE = Table("Costs", ("model", "s"), ((Shown("a|b"), Shown("1.5", 1.5)),), notes=("p < 0.05",))

    def test_parts_stand_in_order_under_their_headings(self):
        picture = Picture("overlap", "Hits", ({"a": 1},), {}, ("note",), self.TABLE)
        text = as_report_markdown("Ten <runs>", [self.TABLE, picture, Section("Claims", "- one\n")], {"overlap"})
        table = "| model | s |\n| --- | ---: |\n| a\\|b | 1.5 |\n"
        assert text == (
            f"# Ten &lt;runs>\n\n## Costs\n\n{table}\np &lt; 0.05\n\n## Hits\n\n![Hits](figures/overlap.svg)\n\n"
            f"Data: [figures/overlap.csv](figures/overlap.csv)\n\n{table}\nnote\n\n## Claims\n\n- one\n"
        )

    def test_a_picture_without_an_image_has_its_data_alone(self):
        text = as_report_markdown("t", [Picture("training", "T", ({"a": 1},), {})], set())
        assert "![" not in text and "figures/training.csv" in text

    def test_a_heading_is_one_line(self):
        assert as_report_markdown("a\nb\x1b[31m", [], set()).count("\n") == 1


class TestCsv:
    def rows(self, results):
        return list(csv.DictReader(io.StringIO(as_long_csv(results))))

    def test_there_is_an_unrounded_row_per_group_and_metric(self, results):
        rows = self.rows(results)
        assert [(row["model"], row["metric"]) for row in rows] == [
            (row.name, metric) for row in results.rows for metric in METRICS
        ]
        score, row = results.rows[1].scores["ndcg@10"], rows[3]
        assert float(row["test mean"]) == score.mean and float(row["valid sd"]) == score.valid_sd
        for name in (
            "mean",
            "low",
            "seeds_high",
            "p_value",
            "p_randomisation",
            "p_holm",
            "effect_size",
            "wins",
            "users",
        ):
            assert float(row[f"difference {name}"]) == getattr(score.difference, name), name
        assert row["difference p_wilcoxon"] == rows[0]["difference mean"] == ""
        assert (row["seeds"], row["unfinished"]) == ("1;2", "3: failed")
        assert (row["best epochs"], row["epoch limits hit"]) == ("4;3", "5;")
        assert (row["trainable parameters"], row["peak MB"]) == ("2109304", "512.5")

    def test_groups_without_completed_runs_are_kept(self, results):
        row = self.rows(results)[-1]
        assert row["model"] == "LoRA" and row["test mean"] == "" and row["unfinished"] == "1: failed"

    def test_other_metrics_have_columns_for_all(self, results, tmp_path):
        record, path = make_run(tmp_path, random_ranks(5))
        record["recommended"] = {"coverage@10": 0.25}
        both = Results.of([*results.groups, RunGroup("a", ((record, path),))], 0, METRICS, False)
        rows = self.rows(both)
        assert rows[-1]["test coverage@10"] == "0.25" and rows[0]["test coverage@10"] == ""


class TestTex:
    def cells(self, text):
        """Rows between the rules, as lists of cells."""
        body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
        return [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in body.strip().split("\\\\\n")]

    def test_the_table_has_the_rules_of_booktabs_and_a_cell_per_column(self, results):
        text = as_tex("Scientific", results)
        columns = re.search(r"\\begin\{tabular\}\{(.*?)\}", text)[1]
        places = [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}")]
        assert places == sorted(places) and columns.startswith("ll")
        assert all(len(row) == len(columns) for row in self.cells(text)) and len(self.cells(text)) == 4

    def test_the_best_mean_is_bold_and_significant_differences_have_a_star(self, results):
        changed = with_difference(results, 1, "hit@10", p_holm=0.0499)
        changed = with_difference(changed, 1, "ndcg@10", p_holm=0.05)
        row = self.cells(as_tex("t", changed))[1]
        hit, ndcg = (changed.rows[1].scores[metric] for metric in METRICS)
        assert row[3] == rf"\textbf{{{hit.mean:.4f}}}$^*$ $\pm$ {hit.sd:.4f}"
        assert row[4] == rf"\textbf{{{ndcg.mean:.4f}}} $\pm$ {ndcg.sd:.4f}"
        assert row[2] == "2" and row[5] == "2,109,304"
        assert as_tex("t", changed).count("textbf") == 2

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("a_b & 5 %", r"a\_b \& 5 \%"),
            (r"\input{x}", r"\textbackslash{}input\{x\}"),
            ("$x^2$ ~", r"\$x\textasciicircum{}2\$ \textasciitilde{}"),
            ("a\nb", r"a\textbackslash{}nb"),
        ],
    )
    def test_names_are_no_commands(self, tmp_path, name, shown):
        group = RunGroup(name, (make_run(tmp_path, random_ranks(1)),))
        text = as_tex(name, Results.of([group], 0, METRICS, False))
        assert self.cells(text)[0][0] == shown and text.count("\n") == 12
