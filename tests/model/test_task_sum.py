"""The sum of several tasks, and the means of what its steps measured."""

import pytest
import torch
from torch import nn

from recbole_mpo.model.task_sum import StepMeans, TaskSum
from recbole_mpo.model.task_weighting import WEIGHTINGS


class Scaled(nn.Module):
    """A loss that is a multiple of the batch, and which the model is the factor of."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, model, batch):
        return self.factor * model * batch


def sum_of(weighting, fixed=(1.0, 1.0)):
    return TaskSum({"a": Scaled(1.0), "b": Scaled(3.0)}, WEIGHTINGS[weighting](fixed))


def test_the_sum_is_weighted():
    weight = torch.tensor(2.0, requires_grad=True)
    tasks = sum_of("static", (1.0, 0.5))
    loss = tasks(weight, torch.tensor(5.0))
    loss.backward()
    assert loss.item() == pytest.approx(10.0 + 15.0) and weight.grad.item() == pytest.approx(5.0 + 7.5)
    assert tasks.end_epoch() == {"task_losses": {"a": 10.0, "b": 30.0}, "task_weights": {"a": 1.0, "b": 0.5}}


def test_the_weights_are_learned_through_the_sum_and_the_losses_do_not_see_it():
    weight = torch.tensor(2.0, requires_grad=True)
    tasks = sum_of("uncertainty")
    tasks(weight, torch.tensor(5.0)).backward()
    # d/ds (exp(-s) L / 2 + s / 2) at s = 0
    assert tasks.weighting.log_variances.grad.tolist() == pytest.approx([(1 - 10) / 2, (1 - 30) / 2])
    assert weight.grad.item() == pytest.approx(0.5 * (5.0 + 15.0))


def test_the_end_of_an_epoch_is_what_falling_rates_are_of():
    tasks = sum_of("dwa")
    for first, second in ((4.0, 4.0), (4.0, 0.0)):
        for batch in (first, second):
            tasks(torch.tensor(1.0), torch.tensor(batch))
        assert tasks.end_epoch()["task_losses"] == {"a": (first + second) / 2, "b": 3 * (first + second) / 2}
    assert tasks.weighting.means.tolist() == [[4.0, 12.0], [2.0, 6.0]] and tasks.weighting.epochs == 2


def test_an_epoch_without_steps_measures_nothing():
    tasks = sum_of("dwa")
    assert tasks.end_epoch() == {} and tasks.weighting.epochs == 0


def test_means_are_over_the_steps_that_measured():
    means = StepMeans()
    means.add("lengths", {"a": 1.0, "b": torch.tensor(2.0)})
    means.add("lengths", {"a": 2.0})
    means.add("share", torch.tensor(0.25))
    means.add("share", 0.75)
    assert means.take() == {"lengths": {"a": 1.5, "b": 2.0}, "share": 0.5}
    assert means.take() == {}


def test_means_have_the_precision_of_pythons_numbers():
    means = StepMeans()
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    for value in values:
        means.add("x", {"a": value})
    assert means.take()["x"]["a"] == pytest.approx(sum(values.tolist()) / 1000, rel=1e-12)
