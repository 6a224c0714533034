"""Predictions: written from other runs, with what they were made of, and never after an outcome."""

import json

import pytest
from planted_study import LOSS as PLANTED
from planted_study import content_of, law, sizes_of, write_run, write_study

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.outcomes import find_outcomes
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.prediction import predict, read_prediction, records_hash


@pytest.fixture
def plan():
    return Plan.read({**content_of(), "transfer": None})


def known_of(plan, folder):
    outcomes, _ = find_outcomes(plan.cells, folder / RUNS)
    return [one for one in outcomes if plan.main in one.cell.groups and not one.cell.is_held_back]


def predicted(plan, folder, has_outcomes=False):
    held = [cell for cell in plan.cells if cell.is_held_back]
    return predict(folder, plan.metrics, known_of(plan, folder), held, has_outcomes), held


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
    assert "no prediction is written: UniSRec" in predicted(plan, tmp_path, has_outcomes=True)[0]
    assert read_prediction(tmp_path) is None
    predicted(plan, tmp_path)
    first = (tmp_path / "prediction.json").read_bytes()
    write_run(next(cell for cell in plan.cells if not cell.is_held_back), tmp_path, noise=0.05)
    assert "stays as it was written" in predicted(plan, tmp_path, has_outcomes=True)[0]
    assert (tmp_path / "prediction.json").read_bytes() == first
    predicted(plan, tmp_path)
    assert json.loads(first)["records_hash"] != read_prediction(tmp_path)["records_hash"]


def test_a_run_of_which_no_other_has_the_size_is_named(plan, tmp_path):
    write_study(plan, tmp_path, wanted=lambda cell: not cell.is_held_back and cell.value("hidden_size") != 256)
    with pytest.raises(
        RecordError, match="256 wide.* cannot be predicted: no run has the same hidden_size and n_layers"
    ):
        predicted(plan, tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "prediction.json").write_text('{"metrics": {}}')
    with pytest.raises(RecordError, match=r"prediction\.json is damaged: KeyError: 'records_hash'"):
        read_prediction(tmp_path)
