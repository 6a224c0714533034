"""Predictions: written from other runs, with what they were made of, and never after an outcome."""

import json

import pytest
from planted_study import LOSS as PLANTED
from planted_study import content_of, law, sizes_of, write_run, write_study

from recbole_mpo.common.errors import RecordError
from recbole_mpo.quick_start.record import read_record, write_record
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.outcomes import begun_runs, find_outcomes
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.predicted_runs import read_prediction
from recbole_mpo.study.scaling.prediction import _place, predict, records_hash


@pytest.fixture
def plan():
    return Plan.read({**content_of(), "transfer": None})


def known_of(plan, folder):
    outcomes, _ = find_outcomes(plan.cells, folder / RUNS)
    return [one for one in outcomes if plan.main in one.cell.groups and not one.cell.is_held_back]


def predicted(plan, folder):
    held = [cell for cell in plan.cells if cell.is_held_back]
    begun = begun_runs(held, folder / RUNS)
    return predict(folder, plan.metrics, known_of(plan, folder), held, begun), held


def test_it_is_what_the_law_gives_with_an_interval_and_what_it_was_made_of(plan, tmp_path):
    write_study(plan, tmp_path, noise=0.002, wanted=lambda cell: not cell.is_held_back)
    says, held = predicted(plan, tmp_path)
    assert says.endswith("2 runs are predicted from 14")
    content, known = read_prediction(tmp_path), known_of(plan, tmp_path)
    assert content["records_hash"] == records_hash(known) == records_hash(known[::-1])
    assert content["records"] == {one.cell.title: one.hash for one in known} and len(content["records"]) == 14
    for cell in held:
        one = content["metrics"]["loss"][cell.title]["F1"]
        size, rows, _ = sizes_of(cell)
        truth = law(PLANTED, size, rows, 1)
        assert one["value"] == pytest.approx(truth, rel=0.02) and one["low"] < one["value"] < one["high"]
        assert {*content["metrics"]["ndcg@10"][cell.title]} == {"F1", "F4"}


def test_it_is_written_again_without_outcomes_and_never_with_them(plan, tmp_path):
    write_study(plan, tmp_path, wanted=lambda cell: not cell.is_held_back)
    _, held = predicted(plan, tmp_path)
    first = (tmp_path / "prediction.json").read_bytes()
    write_run(next(cell for cell in plan.cells if not cell.is_held_back), tmp_path, noise=0.05)
    predicted(plan, tmp_path)
    second = (tmp_path / "prediction.json").read_bytes()
    assert json.loads(first)["records_hash"] != json.loads(second)["records_hash"]
    # One that is running has begun, and so has one that failed.
    for status in ("running", "failed"):
        write_run(held[0], tmp_path, status=status)
        write_run(next(cell for cell in plan.cells if not cell.is_held_back), tmp_path)
        assert "stays as it was written before its outcomes" in predicted(plan, tmp_path)[0]
        assert (tmp_path / "prediction.json").read_bytes() == second


def test_what_has_begun_is_not_predicted_and_named(plan, tmp_path):
    write_study(plan, tmp_path)
    says, held = predicted(plan, tmp_path)
    assert "is not written; not predicted, since it was begun before: " in says
    assert all(cell.title in says for cell in held) and read_prediction(tmp_path) is None


def test_runs_of_new_seeds_are_added_and_the_first_prediction_stays(plan, tmp_path):
    write_study(plan, tmp_path, wanted=lambda cell: not cell.is_held_back)
    predicted(plan, tmp_path)
    first = read_prediction(tmp_path)
    write_study(plan, tmp_path, wanted=lambda cell: cell.is_held_back)
    more = Plan.read({**content_of(), "transfer": None, "seeds": [2020, 2021]})
    write_study(more, tmp_path, wanted=lambda cell: not cell.is_held_back)
    says, _ = predicted(more, tmp_path)
    assert says.endswith("2 runs are predicted from 28, added to the earlier ones")
    content = read_prediction(tmp_path)
    (added,) = content.pop("added")
    assert content == first and {*added["metrics"]["loss"]} == {
        cell.title for cell in more.cells if cell.is_held_back and cell.seed == 2021
    }


def test_size_and_data_are_those_of_runs_with_the_same_other_settings(tmp_path):
    grid = {"size": {"train_users": [0.125, 0.25, 0.5], "hidden_size": [32, 64], "n_exps": [2, 8]}}
    content = {**content_of(), "transfer": None, "grid": grid, "predict": {"train_users": 0.5, "hidden_size": 64}}
    plan = Plan.read(content)
    for cell in plan.cells:
        if not cell.is_held_back:
            path = write_run(cell, tmp_path)
            record = read_record(path)
            record["scale"]["non_embedding"] = 1000 * cell.value("n_exps") * cell.value("hidden_size")
            write_record(record, path)
    known = known_of(plan, tmp_path)
    for cell in (cell for cell in plan.cells if cell.is_held_back):
        assert _place(cell, known) == {"N": 64_000 * cell.value("n_exps"), "D": 360_000}


def test_a_run_of_which_no_other_has_the_size_is_named(plan, tmp_path):
    write_study(plan, tmp_path, wanted=lambda cell: not cell.is_held_back and cell.value("hidden_size") != 256)
    with pytest.raises(RecordError, match="256 wide.* cannot be predicted: no run has the same hidden_size and inner"):
        predicted(plan, tmp_path)
