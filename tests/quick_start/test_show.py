"""What a run says of itself in the log: line by line."""

import logging

import pytest

from recbole_mpo.quick_start.show import show_results, show_run

RECORD = {
    "model": "MPORec",
    "dataset": "tiny",
    "seed": 7,
    "run_id": "MPORec-tiny-1",
    "data": {"users": 1234, "items": 30, "targets": {"train": 28100, "valid": 40, "test": 40}},
    "features": {"source": "tfidf-svd", "dimension": 24, "with_text": 29, "items": 30},
    "params": {"total": 1234, "trainable": 5, "by_group": {"encoder": {"total": 1234, "trainable": 5}}},
    "valid": {"hit@10": 0.45, "ndcg@10": 1 / 3},
    "test": {"hit@10": 0.375},
}


@pytest.fixture
def said(caplog):
    """The messages so far; all are of INFO."""
    caplog.set_level(logging.INFO)

    def messages():
        assert {record.levelname for record in caplog.records} == {"INFO"}
        return [record.getMessage() for record in caplog.records]

    return messages


def test_a_run_shows_data_text_and_parameters(said):
    show_run(RECORD)
    assert said() == [
        "MPORec on tiny, seed 7 (run MPORec-tiny-1)",
        "data: 1,234 users, 30 items; targets: train 28,100, valid 40, test 40",
        "item text: tfidf-svd, 24 features; 29 of 30 items have text",
        "parameters:\n  group    total  trainable\n  encoder  1,234          5\n  all      1,234          5",
    ]


def test_without_features_there_is_no_line_of_text(said):
    show_run({**RECORD, "features": None})
    assert len(said()) == 3 and not any("item text" in line for line in said())


def test_results_are_rounded_and_the_records_named(said):
    show_results(RECORD, ["saved/a/record.json", "copy.json"])
    assert said() == [
        "best valid: hit@10 0.4500  ndcg@10 0.3333",
        "best test: hit@10 0.3750",
        "record: saved/a/record.json, copy.json",
    ]


def test_splits_without_results_are_left_out(said):
    show_results({**RECORD, "valid": {}, "test": {}}, ["record.json"])
    assert said() == ["record: record.json"]
