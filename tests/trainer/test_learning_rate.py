"""Rates rise in the warm-up and fall until the last epoch; a constant one is left alone."""

import pytest
import torch
from torch import nn

from recbole_mpo.trainer.learning_rate import RateSchedule


def make(name="cosine", warmup=0.0, epochs=4, rates=(0.1, 0.2)):
    weights = [nn.Parameter(torch.zeros(2)) for _ in rates]
    groups = [{"params": [weight], "lr": rate} for weight, rate in zip(weights, rates, strict=True)]
    optimizer = torch.optim.SGD(groups)
    return optimizer, RateSchedule(optimizer, name, warmup, epochs)


def rates_of(optimizer, schedule, epoch, steps):
    """The rates of both groups in each step of an epoch."""
    taken = []
    optimizer.register_step_post_hook(lambda *_: taken.append([group["lr"] for group in optimizer.param_groups]))
    with schedule.during(epoch, steps):
        for _ in range(steps):
            optimizer.step()
    return taken


@pytest.mark.parametrize(
    ("name", "warmup", "done", "factor"),
    [
        ("constant", 0, 3.7, 1),
        ("constant", 2, 0.5, 0.25),
        ("constant", 2, 2, 1),
        ("linear", 0, 1, 0.75),
        ("linear", 2, 3, 0.5),
        ("linear", 0, 4, 0),
        ("cosine", 0, 2, 0.5),
        ("cosine", 0, 1, 0.8535533905932737),
        ("cosine", 2, 1, 0.5),
        ("cosine", 0, 9, 0),
        ("linear", 4, 4, 1),
    ],
)
def test_factors_are_those_worked_out_by_hand(name, warmup, done, factor):
    assert make(name, warmup)[1].factor(done) == pytest.approx(factor, abs=1e-12)


def test_every_group_keeps_its_share_and_each_step_is_in_the_middle_of_its_part():
    optimizer, schedule = make("linear")
    assert rates_of(optimizer, schedule, 1, 2) == [
        pytest.approx([0.1 * factor, 0.2 * factor]) for factor in (1 - 1.25 / 4, 1 - 1.75 / 4)
    ]


def test_no_step_stands_still():
    optimizer, schedule = make("cosine", warmup=1)
    taken = [rates for epoch in range(4) for rates in rates_of(*make("cosine", warmup=1), epoch, 3)]
    assert min(map(min, taken)) > 0 and max(rates[0] for rates in taken) <= 0.1


def test_epochs_can_be_taken_up_anywhere():
    in_one_go = make("cosine", 1.5)
    all_rates = [rates_of(*in_one_go, epoch, 3)[:3] for epoch in range(4)]
    assert rates_of(*make("cosine", 1.5), 3, 3) == all_rates[3]


def test_a_constant_rate_is_not_touched():
    optimizer, schedule = make("constant")
    with schedule.during(0, 2):
        optimizer.param_groups[0]["lr"] = 7.0
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 7.0


def test_after_the_epoch_steps_are_the_optimizers_own():
    optimizer, schedule = make("linear")
    with schedule.during(0, 1):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 7.0
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 7.0
