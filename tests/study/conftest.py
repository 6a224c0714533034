"""Records that the tests of tables write."""

import copy

import pytest

from recbole_mpo.quick_start.record import write_record

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
        "test_pairs": "dd",
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
def base_record() -> dict:
    """The record that ``write`` changes."""
    return copy.deepcopy(RECORD)


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
