"""The laws of all metrics of a study, and of which runs they are."""

import json

import pytest
from planted_study import content_of, write_study

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.all_fits import fit_all, main_outcomes, sized_outcomes
from recbole_mpo.study.scaling.outcomes import find_outcomes
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.prediction import records_hash


def test_laws_are_of_the_main_grid_and_sizes_of_its_model(planted):
    outcomes, _ = find_outcomes(planted.made.cells, planted.output / RUNS)
    assert len(main_outcomes(planted.made, outcomes)) == 16
    assert len(sized_outcomes(planted.made, outcomes)) == 18
    content = json.loads((planted.output / "fit.json").read_text())
    assert content == fit_all(planted.made, outcomes)
    assert content["records_hash"] == records_hash(outcomes) and len(content["runs"]) == 16
    assert {name: found["points"] for name, found in content["metrics"].items()} == {"loss": 16, "ndcg@10": 16}


def test_runs_that_differ_by_more_than_size_are_no_sizes(tmp_path):
    content = {**content_of(), "transfer": None, "predict": None}
    content["grid"]["drop"] = {"train_users": 0.25, "hidden_size": 128, "hidden_dropout_prob": [0.1, 0.5]}
    plan = Plan.read(content)
    write_study(plan, tmp_path)
    sized = sized_outcomes(plan, find_outcomes(plan.cells, tmp_path / RUNS)[0])
    assert len(sized) == 18 and not [one for one in sized if "hidden_dropout_prob" in one.cell.row.name]


def test_too_few_runs_are_refused(tmp_path):
    plan = Plan.read(content_of())
    write_study(plan, tmp_path, wanted=lambda cell: cell in plan.cells[:3])
    outcomes, _ = find_outcomes(plan.cells, tmp_path / RUNS)
    with pytest.raises(RecordError, match="laws need at least 4 runs of size; 3 are done"):
        fit_all(plan, outcomes)
