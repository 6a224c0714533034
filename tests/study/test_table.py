"""Runs side by side: what a row shows, and which records are not put into one table."""

import copy
import csv
import io

import pytest

from recbole_mpo.common.errors import ConfigError, RecordError
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.values import read_yaml
from recbole_mpo.quick_start.record import write_record
from recbole_mpo.study.table import make_table

EVAL_ARGS = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}
RECORD = {
    "status": "completed",
    "model": "MPORec",
    "label": "MPORec",
    "dataset": "tiny",
    "seed": 7,
    "item_input": "text",
    "data": {
        "files": {"tiny.inter": "aa", "tiny.text": "bb"},
        "item_num": 31,
        "targets": {"train": 281, "valid": 40, "test": 40},
    },
    "params": {"total": 6525864, "trainable": 2109304},
    "valid": {"hit@10": 0.45, "hit@50": 1.0, "ndcg@10": 1 / 3, "ndcg@50": 0.4, "mrr@10": 0.125},
    "test": {"hit@10": 0.375, "hit@50": 0.95, "ndcg@10": 0.17758889, "ndcg@50": 0.3},
    "seconds": {"total": 3.0, "per_epoch": 0.26, "evaluate": 0.1},
    "best_epoch": 0,
    "peak_memory_mb": 512.4,
    "config": {"eval_args": EVAL_ARGS, "mpo_expand": None, "run_label": None},
}


@pytest.fixture
def write(tmp_path):
    """Writes a record with changes, ``a__b`` standing for a nested key; returns its path."""
    numbers = iter(range(100))

    def make(**changes):
        record = copy.deepcopy(RECORD)
        for name, value in changes.items():
            place = record
            *outer, last = name.split("__")
            for key in outer:
                place = place[key]
            place[last] = value
        path = tmp_path / f"run{next(numbers)}" / "record.json"
        write_record(record, path)
        return path

    return make


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


def test_a_bar_in_a_label_does_not_break_the_table(write):
    header, _, row = make_table([write(label="a|b")]).splitlines()
    assert "a\\|b" in row and row.replace("\\|", "").count("|") == header.count("|")


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
        ],
    )
    def test_different_protocols_are_refused_unless_mixed(self, write, changes, part):
        paths = [write(), write(), write(**changes)]
        with pytest.raises(RecordError) as caught:
            make_table(paths)
        assert part in str(caught.value) and str(paths[2]) in str(caught.value) and "--mix" in str(caught.value)
        assert len(cells(make_table(paths, mix=True))) == 3

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


def test_published_figures_stand_beside_the_same_model_and_dataset(write):
    paths = [
        write(dataset="Scientific"),
        write(dataset="Scientific", model="S3RecFixed"),
        write(dataset="Scientific", config__memory="covisit"),
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
