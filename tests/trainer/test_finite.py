"""Losses, weights and scores that are infinite or not a number are refused; all others pass."""

import pytest
import torch
from torch import nn

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.trainer.finite import check_loss, check_scores, check_weights, finite_steps, names_not_finite

NOT_FINITE = pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])


@NOT_FINITE
def test_a_loss(value):
    check_loss(torch.tensor(3e38), 2)
    with pytest.raises(RecboleMPOError, match=rf"^the training loss is {value} in epoch 2; training has blown up"):
        check_loss(torch.tensor(value), 2)


@NOT_FINITE
def test_weights(value):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    # Buffers are no weights: masks hold -inf.
    model.register_buffer("mask", torch.full((2,), -torch.inf))
    model[1].weight.data.fill_(3e38)
    check_weights(model, 0)
    model[1].weight.data[1, 0] = value
    with pytest.raises(RecboleMPOError, match=r"^the weights 1\.weight are not finite after epoch 4; training has"):
        check_weights(model, 4)
    model[0].bias.data[1] = value
    with pytest.raises(RecboleMPOError, match=r"^the weights 0\.bias and 1 more are not finite after epoch 4;"):
        check_weights(model, 4)


def test_a_step_too_large_for_a_float():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    with pytest.raises(RecboleMPOError, match="^a step of the optimizer is not finite in epoch 3; training has blown"):
        with finite_steps(3):
            torch.optim.Adam([weight], lr=1e38).step()
    # What else goes wrong is not called that.
    with pytest.raises(RuntimeError, match="something else"), finite_steps(3):
        raise RuntimeError("something else")


def test_weights_of_every_kind():
    weights = {
        "none": torch.empty(0, 3),
        "whole": torch.arange(3),
        "half": torch.tensor([1.0, torch.inf], dtype=torch.bfloat16),
        "complex": torch.tensor([complex(0, torch.nan)]),
        "double": torch.tensor([1e300], dtype=torch.float64),
    }
    assert names_not_finite(weights) == ["half", "complex"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_scores(value):
    scores = torch.tensor([[-torch.inf, 3e38, -3e38]])
    check_scores(scores), check_scores(scores[:0]), check_scores(scores[0])
    scores[0, 2] = value
    with pytest.raises(RecboleMPOError, match="cannot be ranked"):
        check_scores(scores)
