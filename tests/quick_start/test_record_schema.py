"""What is wrong with a record's content: the field is named; a sound record has no fault."""

import copy
import json
from pathlib import Path

import pytest

from recbole_mpo.quick_start.record_schema import FORMAT_VERSION, REQUIRED, fault_of

RECORD = {
    "status": "completed",
    "model": "MPORec",
    "dataset": "tiny",
    "seed": 1,
    "item_input": "text",
    "data": {"files": {"tiny.inter": "aa"}, "item_num": 31, "targets": {"train": 9, "valid": 4, "test": 4}},
    "config": {"eval_args": {"mode": "full"}},
    "params": {"total": 10, "trainable": 5},
    "valid": {"hit@10": 0.5},
    "test": {"hit@10": 1},
    "seconds": {"total": 3.0, "per_epoch": 0.26},
    "best_epoch": 0,
    "peak_memory_mb": 512.4,
}


def changed(place, value):
    record = copy.deepcopy(RECORD)
    *outer, last = place.split(".")
    inner = record
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return record


@pytest.mark.parametrize(
    "record",
    [RECORD, changed("data", {}), changed("params", {}), changed("best_epoch", None), {**RECORD, "of another": [1]}],
)
def test_sound_records(record):
    assert fault_of(record) is None


def test_the_committed_records_are_sound():
    records = sorted((Path(__file__).resolve().parents[2] / "results").rglob("record.json"))
    assert len(records) >= 48
    for path in records:
        assert fault_of(json.loads(path.read_text(encoding="utf-8"))) is None, path


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("status", 3),
        ("model", None),
        ("label", ["a"]),
        ("dataset", {}),
        ("seed", "7"),
        ("seed", True),
        ("data", []),
        ("data", "x"),
        ("data", {"files": {}}),
        ("data.files", None),
        ("data.files", {"a": 1}),
        ("data.item_num", 3.5),
        ("data.targets", {"valid": 1}),
        ("data.targets.test", "4"),
        ("data.test_pairs", 5),
        ("reads", "interactions"),
        ("config", []),
        ("params", None),
        ("params.total", "10"),
        ("valid", []),
        ("valid.hit@10", "0.5"),
        ("test.hit@10", None),
        ("test.hit@10", float("nan")),
        ("seconds", 3),
        ("seconds.per_epoch", "fast"),
        ("best_epoch", "first"),
        ("peak_memory_mb", {}),
        ("hit_epoch_limit", "yes"),
        ("format_version", "1"),
    ],
)
def test_a_value_of_another_type_is_named_in_one_line(place, value):
    fault = fault_of(changed(place, value))
    assert fault.startswith(f"is damaged: {place}") and "\n" not in fault and fault.isascii()


def test_every_required_key_is_asked_for():
    for key in REQUIRED:
        record = {name: value for name, value in RECORD.items() if name != key}
        assert fault_of(record) == f"lacks {key}; it is not a run's record.json"
    assert fault_of([]).startswith("lacks status, model")


def test_a_newer_format_is_not_guessed_at():
    fault = fault_of({**RECORD, "format_version": FORMAT_VERSION + 1})
    assert fault == f"has format {FORMAT_VERSION + 1}, but this version reads formats up to 1: update recbole_mpo"


def test_a_long_value_is_cut():
    assert len(fault_of(changed("seed", "x" * 10_000))) < 200
