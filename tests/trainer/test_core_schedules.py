"""Stages of MPO cores: which are trained when, what the optimizer keeps, and exact resume from any stage."""

import pytest
import torch
from support import RestoredRun, built_run, folder_of, interrupted_in, numbers

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.layers.mpo.convert import mpo_layers
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.core_schedules import CoreStages


@pytest.fixture
def settings(tiny_settings):
    """A rate so large that validation stops improving at once."""
    return {
        **tiny_settings, "mpo_strategy": "progressive", "mpo_stage_patience": 1, "stopping_step": 2, "epochs": 7,
        "learning_rate": 0.05, "hidden_size": 32, "inner_size": 16, "mpo_expand": 2,
    }  # fmt: skip


def trained_cores(model):
    """The numbers of the trained cores, and of the trained inserted ones, of each layer."""
    return {
        (
            tuple(number for number, core in enumerate(layer.cores) if core.requires_grad),
            tuple(number for number, core in enumerate(layer.expansion) if core.requires_grad),
        )
        for layer in mpo_layers(model).values()
    }


def test_each_stage_trains_more_cores(settings):
    model = built_run("MPORec", "tiny", (), settings).model
    stages = CoreStages(model, 1, 2)
    seen = {}
    for number in range(3):
        stages.go_to(number)
        seen[stages.name] = trained_cores(model)
    assert seen == {
        "light": {((0, 1, 3, 4), ())},
        "full": {((0, 1, 2, 3, 4), ())},
        "expand": {((0, 1, 2, 3, 4), (0, 1))},
    }
    counts = [stages.go_to(number) or stages.trainable for number in range(3)]
    assert counts == sorted(set(counts))


def test_a_stage_is_due_after_its_patience_but_not_after_the_last(settings):
    stages = CoreStages(built_run("MPORec", "tiny", (), settings).model, 2, 3)
    assert [stages.is_due(count) for count in (0, 1, 2, 3)] == [False, False, True, True]
    stages.go_to(2)
    assert not stages.is_due(3)


def test_training_computes_what_full_cores_compute_at_the_start(settings):
    full = {key: value for key, value in settings.items() if not key.startswith("mpo_")}
    first, second = (built_run("MPORec", "tiny", (), given) for given in (settings, full))
    interaction = next(iter(first.loaders[1]))[0]
    scores = [one.model.eval().full_sort_predict(interaction) for one in (first, second)]
    torch.testing.assert_close(*scores)


def test_stages_follow_one_another_and_are_recorded(settings, capsys):
    record = run("MPORec", "tiny", (), settings)
    stages = [epoch["stage"] for epoch in record["history"]]
    assert stages == sorted(stages, key=("light", "full", "expand").index) and set(stages) >= {"light", "full"}
    by_stage = {epoch["stage"]: epoch["trainable"] for epoch in record["history"]}
    assert list(by_stage.values()) == sorted(set(by_stage.values()))
    assert record["params"]["trainable"] >= max(by_stage.values())
    assert f"from here on full: {by_stage['full']:,} parameters are trained (before, light:" in capsys.readouterr().out
    assert record["label"] == "MPORec (progressive)"
    assert record["best_stage"] == record["history"][record["best_epoch"]]["stage"]


def test_what_was_trained_before_keeps_its_state_in_the_optimizer(settings, tmp_path):
    built = built_run("MPORec", "tiny", (), settings)
    trainer = built.trainer(tmp_path)
    trainer.fit(built.loaders[0], saved=False, verbose=False)
    weight = built.model.position_embedding.weight
    (central,) = {layer.cores[2] for layer in list(mpo_layers(built.model).values())[:1]}
    before = trainer.optimizer.state[weight]
    assert central not in trainer.optimizer.state
    trainer._begin_stage()
    assert trainer.optimizer.state[weight] is before and trainer.cur_step == 0
    assert any(central is one for group in trainer.optimizer.param_groups for one in group["params"])


@pytest.mark.parametrize("interrupted", [1, 3, 5])
def test_it_goes_on_after_an_interruption_bit_for_bit(settings, interrupted):
    settings = {**settings, "ema_decay": 0.5}
    whole = run("MPORec", "tiny", (), settings)
    assert whole["history"][-1]["stage"] == "expand"

    with interrupted_in(interrupted):
        run("MPORec", "tiny", (), settings)
    resumed = run("MPORec", "tiny", (), settings, resume="auto")
    assert numbers(resumed) == numbers(whole)
    assert [epoch["stage"] for epoch in resumed["history"]] == [epoch["stage"] for epoch in whole["history"]]


def test_its_checkpoint_is_restored_and_evaluated(settings):
    record = run("MPORec", "tiny", (), settings)
    restored = RestoredRun(folder_of(record) / "best.pth")
    assert restored.state["core_stage"] in (0, 1, 2)
    assert restored.trainer(folder_of(record)).evaluate(restored.loaders[2], load_best_model=False) == record["test"]


class TestRefusals:
    def test_a_checkpoint_that_does_not_say_the_stage(self, settings):
        stages = CoreStages(built_run("MPORec", "tiny", (), settings).model, 1, 2)
        for number in (None, 3):
            with pytest.raises(CheckpointError, match="last.pth does not say which cores are trained"):
                stages.restore(number, "last.pth")

    def test_frozen_cores(self, settings, tmp_path):
        built = built_run("MPORec", "tiny", (), {**settings, "freeze": ["adaptor"]})
        with pytest.raises(ConfigError, match="trains MPO cores, and freeze names their group"):
            built.trainer(tmp_path)

    def test_a_patience_above_that_of_training(self, settings, tmp_path):
        built = built_run("MPORec", "tiny", (), {**settings, "mpo_stage_patience": 3})
        with pytest.raises(ConfigError, match="mpo_stage_patience 3 is above stopping_step 2"):
            built.trainer(tmp_path)

    def test_a_patience_without_stages(self, settings):
        settings = {**settings, "mpo_strategy": "full", "mpo_expand": None}
        with pytest.raises(ConfigError, match="mpo_stage_patience has no effect without mpo_strategy=progressive"):
            built_run("MPORec", "tiny", (), settings)
