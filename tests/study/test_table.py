"""Runs side by side: what a row shows, and which records are not put into one table."""

import copy
import csv
import io
import json

import pytest

from recbole_mpo.common.errors import ConfigError, RecordError
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.values import read_yaml
from recbole_mpo.study.table import make_table

EVAL_ARGS = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}


def cells(markdown):
    """Rows of a Markdown table as dictionaries."""
    lines = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in markdown.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_markdown_shows_one_rounded_row_per_record_in_order(write):
    text = make_table([write(), write(model="UniSRec", label="UniSRec", seed=8).parent])
    assert text.splitlines()[1].startswith("| --- | ---: |")
    first, second = cells(text)
    assert first == {
        "model": "MPORec", "seed": "7", "total": "6,525,864", "trainable": "2,109,304",
        "valid hit@10": "0.4500", "valid hit@50": "1.0000", "valid ndcg@10": "0.3333", "valid ndcg@50": "0.4000",
        "test hit@10": "0.3750", "test hit@50": "0.9500", "test ndcg@10": "0.1776", "test ndcg@50": "0.3000",
        "best epoch": "0", "s/epoch": "0.3", "peak MB": "512",
    }  # fmt: skip
    assert (second["model"], second["seed"]) == ("UniSRec", "8")


def test_text_is_aligned_under_headings_of_two_lines(write):
    table = make_table([write(), write(label="UniSRec, wide", seed=18)], form="text", metrics=["ndcg@10"])
    lines = table.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["valid", "test", "best", "peak"],
        ["model", "seed", "total", "trainable", "ndcg@10", "ndcg@10", "epoch", "s/epoch", "MB"],
    ]
    assert lines[2].startswith("MPORec            7  6,525,864") and lines[3].startswith("UniSRec, wide    18  ")
    assert len({len(line) for line in lines[1:]}) == 1


def test_csv_is_unrounded_and_can_be_read_back(write):
    rows = list(csv.DictReader(io.StringIO(make_table([write(), write(seed=8)], form="csv"))))
    assert [row["seed"] for row in rows] == ["7", "8"]
    assert float(rows[0]["valid ndcg@10"]) == 1 / 3 and rows[0]["total"] == "6525864"
    assert float(rows[0]["peak MB"]) == 512.4


def test_metrics_are_chosen_in_any_capitalisation_and_missing_ones_left_blank(write):
    (row,) = cells(make_table([write()], metrics=["MRR@10"]))
    assert (row["valid mrr@10"], row["test mrr@10"]) == ("0.1250", "")
    assert "valid hit@10" not in row


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"label": "MPORecExpand (t = 4)", "model": "MPORecExpand"}, "MPORecExpand (t = 4)"),
        ({"label": "mine"}, "mine"),
        ({"status": "failed", "valid": {}, "test": {}}, "MPORec [failed]"),
        ({"status": "running"}, "MPORec [running]"),
        ({"status": "failed", "label": "mine"}, "mine [failed]"),
    ],
)
def test_labels_are_the_records_with_the_status_of_unfinished_runs(write, changes, label):
    (row,) = cells(make_table([write(**changes)]))
    assert row["model"] == label


@pytest.mark.parametrize("label", ["a|b", "two\nlines", "a\\|b", "a\r\x1b[31mb\u2028c", "=cmd|' /c calc'!A1"])
@pytest.mark.parametrize("form", ["markdown", "text"])
def test_no_label_adds_a_line_or_a_column(write, label, form):
    lines = make_table([write(label=label)], form=form).splitlines()
    assert len(lines) == 3 and "\x1b" not in lines[2]
    if form == "markdown":
        bars = lines[2].replace("\\\\", "").replace("\\|", "").count("|")
        assert bars == lines[0].count("|")


def test_a_label_is_no_formula_in_csv_and_numbers_stay_numbers(write):
    (row,) = csv.DictReader(io.StringIO(make_table([write(label="=cmd|' /c calc'!A1", seed=-1)], form="csv")))
    assert row["model"] == "'=cmd|' /c calc'!A1" and row["seed"] == "-1"


def test_runs_that_the_limit_of_epochs_ended_are_marked(write):
    limited = write(best_epoch=44, epochs_run=50, hit_epoch_limit=True)
    stopped = write(best_epoch=21, epochs_run=33, hit_epoch_limit=False)
    paths = [limited, stopped, write(best_epoch=None)]
    assert [row["best epoch"] for row in cells(make_table(paths))] == ["44 of 50", "21", ""]
    rows = list(csv.DictReader(io.StringIO(make_table(paths, form="csv"))))
    assert [(row["best epoch"], row["epoch limit hit"]) for row in rows] == [("44", "50"), ("21", ""), ("", "")]


def test_a_failed_run_has_blanks_instead_of_metrics(write):
    (row,) = cells(make_table([write(status="failed", valid={}, test={})]))
    assert row["valid hit@10"] == row["test ndcg@10"] == "" and row["total"] == "6,525,864"


class TestComparability:
    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"dataset": "other"}, "differ in the dataset: 'tiny' in"),
            ({"data__item_num": 40}, "differ in the number of candidate items: 31 in"),
            ({"item_input": "text+id"}, "differ in item_input: 'text' in"),
            ({"data__files": {"tiny.inter": "cc"}}, "differ in the interaction files"),
            ({"data__targets": {"train": 281, "valid": 40, "test": 39}}, "differ in the number of targets"),
            ({"config__eval_args": {**EVAL_ARGS, "mode": "uni100"}}, "differ in the split"),
            ({"data__test_pairs": "ee"}, "differ in the test pairs: 'dd' in"),
        ],
    )
    def test_different_protocols_are_refused_unless_mixed(self, write, changes, part):
        paths = [write(), write(), write(**changes)]
        with pytest.raises(RecordError) as caught:
            make_table(paths)
        assert part in str(caught.value) and str(paths[2]) in str(caught.value) and "--mix" in str(caught.value)
        assert len(cells(make_table(paths, mix=True))) == 3

    def test_the_two_ways_with_the_history_are_never_mixed(self, write):
        paths = [write(), write(config__eval_history="kept"), write(config__eval_history="masked")]
        assert len(cells(make_table(paths[:2]))) == 2
        with pytest.raises(RecordError, match="differ in eval_history: 'kept' in .* 'masked' in .*in one table"):
            make_table(paths, mix=True)

    def test_records_without_the_hash_of_test_pairs_stand_beside_every_other(self, write, base_record):
        del base_record["data"]["test_pairs"]
        old = write(data=base_record["data"])
        assert len(cells(make_table([old, write(), old, write()]))) == 4

    def test_models_without_training_stand_beside_every_other(self, write):
        none = write(item_input="none")
        assert len(cells(make_table([none, write(), none]))) == 3
        with pytest.raises(RecordError, match="differ in item_input: 'text' in .*, 'id' in"):
            make_table([none, write(), write(item_input="id")])

    @pytest.mark.parametrize(
        "changes",
        [
            {"data__files": {"tiny.inter": "aa", "tiny.text": "other"}},
            {"data__files": {"tiny.inter": "aa"}},
            {"data__targets": {"train": 5, "valid": 40, "test": 40}},
            {"seed": 1, "model": "UniSRec", "config__mpo_expand": 3},
        ],
    )
    def test_what_does_not_touch_the_targets_may_differ(self, write, changes):
        assert len(cells(make_table([write(), write(**changes)]))) == 2


class TestErrors:
    def test_unknown_format(self, write):
        with pytest.raises(ConfigError, match="format is 'html'; choose one of markdown, text, csv"):
            make_table([write()], form="html")

    def test_no_record(self):
        with pytest.raises(RecordError, match="at least one record"):
            make_table([])

    def test_an_unreadable_record_is_named(self, write):
        with pytest.raises(RecordError, match="record no.json cannot be read"):
            make_table([write(), "no.json"])


def places(value, at=()):
    """Paths of all values inside a record."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from places(inner, (*at, key))


def test_no_damaged_value_gives_a_traceback_or_a_line_too_many(write, base_record):
    """A table, or one line that names the record; whatever stands in any place, or nothing."""
    beside = write()
    path = beside.parent / "damaged.json"
    odd = (None, "a\n|b", 3, -1, 1e308, [], {}, [1], {"a": 1}, True, 10**400, "\x1b[2J", "\ud800", "left out")
    for at in filter(None, places(base_record)):
        for value in odd:
            record = copy.deepcopy(base_record)
            place = record
            for key in at[:-1]:
                place = place[key]
            place[at[-1]] = value
            if value == "left out":
                del place[at[-1]]
            path.write_text(json.dumps(record), encoding="utf-8")
            for form, mix in (("markdown", True), ("csv", True), ("text", False)):
                try:
                    table = make_table([path, beside], form, mix=mix)
                except RecordError as problem:
                    assert str(path) in str(problem) and "\n" not in str(problem)
                else:
                    assert len(table.encode().splitlines()) == (3 if form == "csv" else 4), (at, value)


def test_published_figures_stand_beside_the_same_model_and_dataset(write):
    paths = [
        write(dataset="Scientific"),
        write(dataset="Scientific", model="S3RecFixed"),
        write(dataset="Scientific", config__evidence=["covisit"]),
        write(dataset="Scientific", model="Pop"),
    ]
    rows = cells(make_table(paths, published=True, metrics=["hit@10", "mrr@10"]))
    # The paper's table 2.
    assert [row["published hit@10"] for row in rows] == ["0.1103", "0.0525", "", ""]
    assert [row["published mrr@10"] for row in rows] == [""] * 4
    assert "published hit@10" not in cells(make_table(paths))[0]


def test_packaged_published_figures_are_the_papers(shared_data):
    known = read_yaml(find_property("published"))
    lines = (shared_data.parent / "specs" / "published.csv").read_text(encoding="utf-8").splitlines()[1:]
    expected = {tuple(line.split(",")[1:4]): float(line.split(",")[4]) for line in lines if line.startswith("2,")}
    found = {
        (dataset, model, metric.upper()): value
        for dataset, models in known["datasets"].items()
        for model, values in models.items()
        for metric, value in zip(known["metrics"], values, strict=True)
    }
    assert found == expected
