"""Records of a study's runs: found by label and settings, without any dataset."""

import numpy as np
import pytest
from planted_study import content_of, sizes_of, write_run

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start.record import read_record, write_record
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.outcomes import COMPUTE, DATA, DEPTH, SIZE, WIDTH, begun_runs, find_outcomes, points_of
from recbole_mpo.study.scaling.plan import Plan


@pytest.fixture
def cells():
    return Plan.read(content_of()).cells


def test_runs_are_found_in_the_order_of_the_plan(cells, tmp_path):
    paths = [write_run(cell, tmp_path) for cell in (cells[5], cells[2], cells[-1])]
    outcomes, problems = find_outcomes(cells, tmp_path / RUNS)
    assert [one.cell for one in outcomes] == [cells[2], cells[5], cells[-1]] and problems == []
    assert [one.path for one in outcomes] == [paths[1], paths[0], paths[2]]


def test_runs_of_other_settings_are_named_and_left_out(cells, tmp_path):
    path = write_run(cells[0], tmp_path)
    record = read_record(path)
    write_record({**record, "config": {**record["config"], "epochs": 2}}, path)
    outcomes, (problem,) = find_outcomes(cells, tmp_path / RUNS)
    assert outcomes == [] and "has epochs=2, the plan 12" in problem
    write_record({**record, "model": "MPORec"}, path)
    assert "has the model MPORec, the plan UniSRec" in find_outcomes(cells, tmp_path / RUNS)[1][0]
    # One that the plan leaves at its default counts too, RecBole's own included.
    for key, value in (("learning_rate", 0.02), ("hidden_act", "relu"), ("weight_decay", 0.1)):
        write_record({**record, "config": {**record["config"], key: value}}, path)
        assert f"has {key}={value}, the plan" in find_outcomes(cells, tmp_path / RUNS)[1][0]
    # Where files are and how they are read decides no figure.
    write_record({**record, "config": {**record["config"], "track": ["mlflow"], "eval_batch_size": 7}}, path)
    assert len(find_outcomes(cells, tmp_path / RUNS)[0]) == 1


def test_runs_that_are_not_done_and_damaged_records_are_no_outcomes(cells, tmp_path):
    write_run(cells[0], tmp_path, status="failed")
    write_run(cells[1], tmp_path).write_text("{")
    outcomes, problems = find_outcomes(cells, tmp_path / RUNS)
    assert outcomes == [] and len(problems) == 1 and "is not valid JSON" in problems[0]


def test_the_newest_of_several_records_counts(cells, tmp_path):
    first = write_run(cells[0], tmp_path, started="2026-11-26T10:00:00+00:00")
    record = read_record(first)
    later = first.parent.with_name("later") / "record.json"
    write_record({**record, "started": "2026-11-27T10:00:00+00:00"}, later)
    assert find_outcomes(cells, tmp_path / RUNS)[0][0].path == later


def test_sizes_are_those_of_the_record_up_to_the_best_epoch(cells, tmp_path):
    write_run(cells[0], tmp_path, best_epoch=5)
    (one,), _ = find_outcomes(cells, tmp_path / RUNS)
    size, rows, flops = sizes_of(cells[0])
    assert one.predictors == {SIZE: size, DATA: rows, COMPUTE: flops / 2, WIDTH: 256, DEPTH: 2}
    points = points_of([one], "loss")
    assert points.values_n.tolist() == [one.record["test"]["loss"]] and points.predictors[COMPUTE] == np.array(
        [flops / 2]
    )


def test_the_hash_is_of_figures_and_not_of_places(cells, tmp_path):
    path = write_run(cells[0], tmp_path)
    record = read_record(path)
    before = find_outcomes(cells, tmp_path / RUNS)[0][0].hash
    write_record({**record, "config": {**record["config"], "data_path": "elsewhere"}, "peak_memory_mb": 1.0}, path)
    assert find_outcomes(cells, tmp_path / RUNS)[0][0].hash == before
    write_record({**record, "test": {**record["test"], "loss": 1.0}}, path)
    assert find_outcomes(cells, tmp_path / RUNS)[0][0].hash != before


def test_runs_have_begun_whatever_came_of_them(cells, tmp_path):
    write_run(cells[0], tmp_path, status="running")
    write_run(cells[1], tmp_path, status="failed")
    assert begun_runs(cells, tmp_path / RUNS) == {cells[0].title, cells[1].title}


def test_what_a_record_lacks_is_named_with_the_setting(cells, tmp_path):
    path = write_run(cells[0], tmp_path)
    record = read_record(path)
    write_record({**record, "scale": {}}, path)
    (one,), _ = find_outcomes(cells, tmp_path / RUNS)
    with pytest.raises(RecordError, match="does not hold the operations of its run: set count_flops=true"):
        _ = one.predictors
    with pytest.raises(RecordError, match=r"has no test mrr@3, but .*ndcg@10"):
        one.value("mrr@3")
    del one.record["test"]["loss"]
    with pytest.raises(RecordError, match="has no test loss: set eval_loss=true"):
        one.value("loss")


def test_runs_of_one_cell_differ_in_their_seed(tmp_path):
    plan = Plan.read({**content_of(), "seeds": [1, 2], "transfer": None})
    for cell in plan.cells[:4]:
        write_run(cell, tmp_path)
    points = points_of(find_outcomes(plan.cells, tmp_path / RUNS)[0], "loss")
    assert sorted(np.bincount(points.cells_n).tolist()) == [2, 2]
