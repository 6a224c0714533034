"""Averages of weights follow the steps, take the weights' place, and go on after an interruption."""

import pytest
import torch
from support import interrupted_in, numbers
from torch import nn

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.evaluate import evaluate_checkpoint
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.weight_average import WeightAverage


def make(decay=0.9):
    model = nn.Linear(2, 1)
    model.bias.requires_grad = False
    return model, WeightAverage(model, decay)


def test_averages_are_those_worked_out_by_hand():
    model, average = make(decay=0.2)
    expected = model.weight.detach().clone()
    for step in range(1, 5):
        with torch.no_grad():
            model.weight.add_(1)
        average.update()
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.averages["weight"], expected)
    assert average.averages.keys() == {"weight"}


def test_steps_of_the_optimizer_are_followed_only_meanwhile():
    model, average = make()
    optimizer = torch.optim.SGD([model.weight], lr=1.0)
    model.weight.grad = torch.ones(1, 2)
    with average.following(optimizer):
        optimizer.step()
        optimizer.step()
    optimizer.step()
    assert average.steps == 2


def test_averages_take_the_place_of_the_weights_and_give_it_back():
    model, average = make()
    start = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1)
    weight = model.weight
    with average.in_place():
        assert torch.equal(model.weight, start) and model.weight is weight
    assert torch.equal(model.weight, start + 1)
    assert torch.equal(average.averages["weight"], start)


def test_the_place_is_given_back_after_a_failure():
    model, average = make()
    with torch.no_grad():
        model.weight.add_(1)
    after = model.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), average.in_place():
        raise KeyboardInterrupt
    assert torch.equal(model.weight, after)


def test_what_was_stored_goes_on_as_if_never_interrupted():
    model, average = make()
    average.update()
    stored = {"steps": average.steps, "weights": {name: part.clone() for name, part in average.averages.items()}}
    _, other = make()
    other.load(stored, "last.pth")
    assert other.steps == 1 and torch.equal(other.averages["weight"], average.averages["weight"])


@pytest.mark.parametrize(
    "state", [None, {"steps": 1, "weights": {}}, {"steps": 1, "weights": {"weight": torch.ones(3)}}]
)
def test_averages_of_other_weights_are_refused(state):
    with pytest.raises(CheckpointError, match="last.pth lacks the averages of these weights"):
        make()[1].load(state, "last.pth")


RECIPE = {"ema_decay": 0.9, "lr_schedule": "cosine", "warmup_epochs": 0.5}


class TestARun:
    @staticmethod
    def files(settings, record):
        folder = f"{settings['checkpoint_dir']}/{record['run_id']}"
        return (torch.load(f"{folder}/{name}.pth", weights_only=True) for name in ("best", "last"))

    def test_saves_and_evaluates_the_averages(self, tiny_settings):
        settings = {**tiny_settings, "ema_decay": 0.9}
        record = run("MPORec", "tiny", (), settings)
        best, last = self.files(settings, record)
        averages = last["averages"]["weights"]
        assert best["epoch"] == last["epoch"] == 1 and averages.keys() <= last["state_dict"].keys()
        assert all(torch.equal(best["state_dict"][name], average) for name, average in averages.items())
        assert not torch.equal(averages["position_embedding.weight"], last["state_dict"]["position_embedding.weight"])
        path = f"{settings['checkpoint_dir']}/{record['run_id']}/best.pth"
        assert evaluate_checkpoint(path) == {"valid": record["valid"], "test": record["test"]}
        assert record["valid"] == record["history"][1]["valid"]

    def test_without_averages_trains_the_same_weights(self, tiny_settings):
        """The averages only watch."""
        losses = [
            [epoch["train_loss"] for epoch in run("MPORec", "tiny", (), {**tiny_settings, **changes})["history"]]
            for changes in ({}, {"ema_decay": 0.5})
        ]
        assert losses[0] == losses[1]

    @pytest.mark.parametrize("model", ["MPORecLight", "SASRec"])
    def test_is_bit_for_bit_the_same_after_an_interruption(self, tiny_settings, model):
        keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")
        base = tiny_settings if model == "MPORecLight" else {key: tiny_settings[key] for key in keys}
        settings = {**base, **RECIPE, "epochs": 4}
        whole = run(model, "tiny", (), settings)
        with interrupted_in(2):
            run(model, "tiny", (), settings)
        assert numbers(run(model, "tiny", (), settings, resume="auto")) == numbers(whole)

    def test_that_pretrains_begins_its_averages_with_fine_tuning(self, tiny_settings):
        keys = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed", "hidden_size", "inner_size")
        settings = {**{key: tiny_settings[key] for key in keys}, **RECIPE, "MAX_ITEM_LIST_LENGTH": 15}
        settings |= {"train_batch_size": 64, "pretrain_batch_size": 32, "pretrain_epochs": 2, "epochs": 2}
        whole = run("S3RecFixed", "tiny", (), settings)
        with interrupted_in(1):
            run("S3RecFixed", "tiny", (), settings)
        assert numbers(run("S3RecFixed", "tiny", (), settings, resume="auto")) == numbers(whole)
