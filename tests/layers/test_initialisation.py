"""Initial weights: the draws of each kind of module, in the order in which ``apply`` meets them."""

from functools import partial

import pytest
import torch
from torch import nn

from recbole_mpo.layers.convolution import Patch, SequenceConvolution
from recbole_mpo.layers.initialisation import normal_weights

STD = 0.02


def model_of(**modules):
    model = nn.ModuleDict(modules)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    return model


def drawn(*shapes, seed=0):
    torch.manual_seed(seed)
    return [torch.empty(shape).normal_(mean=0.0, std=STD) for shape in shapes]


def initialise(model, seed=0, **options):
    torch.manual_seed(seed)
    return model.apply(partial(normal_weights, std=STD, **options))


def test_weights_are_drawn_one_after_another_from_the_global_generator():
    model = model_of(
        linear=nn.Linear(5, 4), table=nn.Embedding(6, 3), convolution=SequenceConvolution(4, 3, 2), last=nn.Linear(2, 2)
    )
    initialise(model)
    expected = drawn((4, 5), (6, 3), (4, 4, 3), (2, 2))
    for module, weight in zip(model.values(), expected, strict=True):
        assert torch.equal(module.weight, weight)


def test_children_are_drawn_before_what_stands_behind_their_parent():
    model = model_of(inner=nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3)), outer=nn.Linear(3, 3))
    initialise(model)
    for module, weight in zip((*model["inner"], model["outer"]), drawn((2, 3), (3, 2), (3, 3)), strict=True):
        assert torch.equal(module.weight, weight)


def test_biases_of_linear_layers_are_zeroed_and_others_stay():
    model = model_of(linear=nn.Linear(3, 2), convolution=SequenceConvolution(2, 3, 1), norm=nn.LayerNorm(2))
    initialise(model)
    assert not model["linear"].bias.any()
    assert (model["convolution"].bias == 7).all() and (model["norm"].weight == 7).all()
    initialise(nn.Linear(3, 2, bias=False))


@pytest.mark.parametrize("zero_padding", [True, False])
def test_the_padding_row_is_drawn_and_then_zeroed_unless_it_is_to_be_left(zero_padding):
    model = initialise(model_of(table=nn.Embedding(4, 3, padding_idx=0)), zero_padding=zero_padding)
    (expected,) = drawn((4, 3))
    assert torch.equal(model["table"].weight[1:], expected[1:])
    assert torch.equal(model["table"].weight[0], torch.zeros(3) if zero_padding else expected[0])


def test_a_table_without_a_padding_row_has_none_zeroed():
    assert initialise(model_of(table=nn.Embedding(4, 3)))["table"].weight.any(dim=1).all()


@pytest.mark.parametrize("starts_at_zero", [True, False])
def test_a_patch_that_starts_at_zero_changes_nothing_and_draws_as_much(starts_at_zero):
    model = initialise(model_of(patch=Patch(4, 2, "serial", starts_at_zero), last=nn.Linear(3, 3)))
    down, up, last = drawn((2, 4), (4, 2), (3, 3))
    patch = model["patch"]
    assert torch.equal(patch.down.weight, down) and torch.equal(model["last"].weight, last)
    assert torch.equal(patch.up.weight, torch.zeros(4, 2) if starts_at_zero else up)
    states = torch.randn(5, 4)
    assert torch.equal(patch(torch.randn(5, 4), states), states) == starts_at_zero


def test_the_gradients_flag_stays_as_it_was():
    model = model_of(linear=nn.Linear(3, 2))
    model["linear"].weight.requires_grad_(False)
    initialise(model)
    assert not model["linear"].weight.requires_grad and model["linear"].bias.requires_grad
