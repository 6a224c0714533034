"""The tables of the report: every run, every law, prediction beside outcome."""

import json

import pytest
from planted_study import content_of, write_study

from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.outcomes import find_outcomes
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.scaling_tables import OTHERWISE, law_table, model_table, run_table, transfer_table


@pytest.fixture
def outcomes(planted):
    return find_outcomes(planted.made.cells, planted.output / RUNS)[0]


def cells_of(table, column):
    place = table.columns.index(column)
    return [row[place].text for row in table.rows]


def test_every_run_but_those_of_the_other_dataset_has_a_row(planted, outcomes):
    table = run_table(planted.made, outcomes)
    assert len(table.rows) == 19 and "UniSRec, 25 % of users, 128 wide, 4 deep" in cells_of(table, "run")
    assert "360,000" in cells_of(table, "D") and {*cells_of(table, "limit")} == {""}
    outcomes[0].record["hit_epoch_limit"] = True
    assert cells_of(run_table(planted.made, outcomes), "limit")[0] == "reached"


def test_every_law_of_every_metric_has_a_row(planted):
    fits = json.loads((planted.output / "fit.json").read_text())
    table = law_table(fits)
    assert cells_of(table, "law") == ["F1", "F2", "F3", "F4", "constant"] * 2
    assert "exponent (N)" in cells_of(table, "parameters, 95 %")[0]
    on_envelope = str(len(fits["metrics"]["loss"]["envelope"]))
    assert cells_of(table, "points")[:5] == ["16", on_envelope, on_envelope, "16", "16"]
    assert [bool(text) for text in cells_of(table, "AICc")[:5]] == [True, False, False, True, True]
    assert "did not settle" not in "".join(table.notes)
    fits["metrics"]["loss"]["laws"]["F2"]["unsettled"] = 7
    assert "did not settle, so that the interval may be too narrow: 7 of loss, F2." in law_table(fits).notes[1]
    unseen = cells_of(table, "rms at the largest D, unseen")
    assert unseen[0] and unseen[3] and not unseen[1]
    fits["metrics"]["loss"]["laws"]["F1"] = {"missing": "a law of 5 parameters needs more than 3 points"}
    assert cells_of(law_table(fits), "parameters, 95 %")[0] == "a law of 5 parameters needs more than 3 points"


def test_models_stand_side_by_side(planted, outcomes):
    assert [name.split(",")[0] for name in cells_of(model_table(planted.made, outcomes), "run")] == [
        "UniSRec",
        "MPORec",
    ]
    assert model_table(planted.made, [one for one in outcomes if one.cell.row.model == "UniSRec"]) is None


def test_models_with_other_settings_beside_are_not_mixed(tmp_path):
    both = {"model": ["UniSRec", "MPORec"], "train_users": 0.5}
    grids = {"size": {"train_users": [0.25, 0.5]}, "MPO": both, "drop": {**both, "hidden_dropout_prob": [0.1, 0.4]}}
    plan = Plan.read({**content_of(), "transfer": None, "predict": None, "grid": grids})
    write_study(plan, tmp_path)
    names = cells_of(model_table(plan, find_outcomes(plan.cells, tmp_path / RUNS)[0]), "run")
    pairs = [{name.partition(",")[2] for name in names[at : at + 2]} for at in (0, 2, 4)]
    assert len(names) == 6 and all(len(pair) == 1 for pair in pairs) and len(set.union(*pairs)) == 3


def test_transfer_has_differences_and_intervals(planted):
    row = {"run": "fine-tuned", "seed": 2021, "otherwise": "epochs 50", "N": 5.0, "D": None}
    row |= {"loss": 3.0, "loss scratch": 4.0, "loss difference": -1.0}
    row |= {"loss low": None, "loss high": None}
    table = transfer_table(planted.made, [row])
    assert cells_of(table, "loss, difference") == ["-1.0000"] and cells_of(table, "D before") == [""]
    assert cells_of(table, "seed") == ["2021"] and cells_of(table, OTHERWISE) == ["epochs 50"]
    assert "ndcg@10" not in table.columns and cells_of(table, "loss, difference, 95 %") == [""]
    assert transfer_table(planted.made, []) is None
