"""A plan: which runs there are, each once, and what is not well described."""

import pytest
from planted_study import content_of

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.scaling.plan import Plan


@pytest.mark.parametrize(
    ("name", "runs", "held"), [("scaling_cpu", 31, 2), ("scaling_gpu", 0, 6), ("scaling_tiny", 4, 0)]
)
def test_packaged_plans_are_read(name, runs, held):
    plan = Plan.read(content_of(name))
    assert len(plan.cells) == (runs or len(plan.cells)) and sum(cell.is_held_back for cell in plan.cells) == held
    titles = [cell.title for cell in plan.cells]
    assert len(set(titles)) == len(titles) and plan.metrics == ("loss", "ndcg@10")
    assert all(cell.value("eval_loss") and cell.value("count_flops") for cell in plan.cells)


def test_the_plan_for_a_cpu_is_the_one_that_was_asked_for():
    plan = Plan.read(content_of())
    main = [cell for cell in plan.cells if plan.main in cell.groups]
    assert {(cell.value("train_users"), cell.value("hidden_size")) for cell in main} == {
        (share, width) for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2) for width in (32, 64, 128, 256)
    }
    assert {cell.value("eval_users") for cell in main} == {0.5} and {cell.value("epochs") for cell in main} == {12}
    assert all(cell.value("inner_size") == cell.value("hidden_size") for cell in main)
    depths = [cell for cell in plan.cells if "depth" in cell.groups]
    assert sorted(cell.value("n_layers") for cell in depths) == [1, 2, 4]
    assert {cell.row.model for cell in plan.cells if "MPO" in cell.groups} == {"UniSRec", "MPORec"}
    # The run that three grids share is there once.
    (shared,) = [cell for cell in plan.cells if len(cell.groups) == 3]
    assert shared.groups == ("size", "depth", "MPO")


def test_a_source_comes_before_what_starts_from_it_and_costly_runs_first():
    plan = Plan.read(content_of())
    titles = [cell.title for cell in plan.cells]
    for cell in plan.cells:
        assert cell.source is None or titles.index(cell.source.title) < titles.index(cell.title)
    weights = [cell.weight for cell in plan.cells if not cell.way]
    assert weights == sorted(weights, reverse=True)


def test_shards_share_the_runs_out():
    plan = Plan.read(content_of())
    parts = [plan.shard(number, 12) for number in range(1, 13)]
    assert sorted(cell.title for part in parts for cell in part) == sorted(cell.title for cell in plan.cells)
    assert {len(part) for part in parts} == {2, 3}


def test_settings_of_the_command_win_in_every_run_that_uses_them(small):
    plan = Plan.read(small, {"epochs": 5, "dataset": "other", "mask_pad": True})
    assert {cell.value("epochs") for cell in plan.cells} == {5} and {cell.dataset for cell in plan.cells} == {"other"}
    assert all(cell.row.settings["mask_pad"] for cell in plan.cells)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": None}, "grid must map names to axes"),
        ({"grid": {"size": [1]}}, "grid must map names to axes"),
        ({"dataset": None}, "dataset"),
        ({"seeds": [1, 1]}, r"seeds must be different whole numbers, not \[1, 1\]"),
        ({"seeds": "all"}, "seeds must be different whole numbers"),
        ({"checkpoint_dir": "saved"}, "checkpoint_dir is set by the study"),
        ({"predict": [{"hidden_size": 3}]}, "predict: no run of the main grid has"),
        ({"grid": {"size": {"model": "NoModel"}}}, "NoModel"),
        (
            {"inner_per_width": None, "grid": {"a": {"inner_size": 8}, "b": {"inner_size": 16}}},
            "grid: b: two different runs are both named 'UniSRec, 100 % of users, 300 wide, 2 deep'",
        ),
    ],
)
def test_what_is_not_well_described_is_named(small, changes, message):
    content = {**small, **changes, "transfer": None}
    with pytest.raises(ConfigError, match=message):
        Plan.read(content)


def test_a_main_grid_has_one_model():
    content = {**content_of(), "grid": {"size": {"model": ["UniSRec", "MPORec"], "hidden_size": [32, 64]}}}
    with pytest.raises(ConfigError, match="grid: size has UniSRec and MPORec, but laws are of one model"):
        Plan.read({**content, "predict": None, "transfer": None})


def test_what_laws_are_fitted_to_is_recorded_without_being_asked_for():
    content = {key: value for key, value in content_of().items() if key not in ("eval_loss", "count_flops")}
    content["transfer"]["settings"] = {}
    assert all(cell.value("eval_loss") and cell.value("count_flops") for cell in Plan.read(content).cells)
    for key in ("eval_loss", "count_flops"):
        with pytest.raises(ConfigError, match=f"{key} must be true in a scaling study"):
            Plan.read(content, {key: False})
