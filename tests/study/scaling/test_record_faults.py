"""Records that have the label of a run and are not of it: other settings, other weights, other data."""

from pathlib import Path

import pytest
from planted_study import content_of, write_run

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.record_faults import check_same_data, fault_of


@pytest.fixture
def cell():
    return next(cell for cell in Plan.read(content_of()).cells if cell.source is not None)


def test_a_record_of_the_run_has_none(cell, tmp_path):
    record = read_record(write_run(cell, tmp_path))
    assert fault_of(cell, record) is None
    # Written by a version in which a setting was not there yet, on another machine, for files of another layout.
    del record["config"]["warmup_epochs"], record["config"]["weight_decay"]
    record["config"] |= {"warmup_epochs": 1, "data_path": "elsewhere", "use_gpu": True, "load_col": {"inter": ["a"]}}
    assert fault_of(cell, record) is None


def test_any_setting_that_decides_figures_counts(cell, tmp_path):
    record = read_record(write_run(cell, tmp_path))
    assert "weight_decay" not in cell.row.settings and "hidden_act" not in cell.row.settings
    for key, value in (("epochs", 3), ("hidden_act", "relu"), ("weight_decay", 0.1), ("eval_args", {"order": "RO"})):
        changed = {**record, "config": {**record["config"], key: value}}
        assert f"{key}={value}, the plan " in fault_of(cell, changed)


def test_weights_must_be_those_of_the_source(cell, tmp_path):
    record = read_record(write_run(cell, tmp_path))
    source = read_record(write_run(cell.source, tmp_path))
    record["config"]["pretrained"] = f"wherever/{source['run_id']}/best.pth"
    assert fault_of(cell, record, source) is None
    record["config"]["pretrained"] = "wherever/another-run/best.pth"
    assert f"weights of another-run, while {cell.source.row.name} is {source['run_id']} now" in fault_of(
        cell, record, source
    )


def test_data_of_a_dataset_are_the_same_in_all_records():
    records = [({"dataset": name, "data": {"files": {"a": hash}}}, Path(hash)) for name, hash in ("pq", "rs", "pq")]
    check_same_data(records)
    with pytest.raises(RecordError, match="records q and t are of different files of p: run the study again"):
        check_same_data([*records, ({"dataset": "p", "data": {"files": {"a": "t"}}}, Path("t"))])
