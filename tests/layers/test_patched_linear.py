"""Patched linear layers: they start as the layer they are made of, and take its checkpoints."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recbole_mpo.layers.initialisation import normal_weights
from recbole_mpo.layers.patched_linear import PatchedLinear, convert_to_patched


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return PatchedLinear(nn.Linear(12, 8), 3)


def test_the_output_is_that_of_the_layer_and_a_bottleneck(layer):
    x = torch.randn(5, 2, 12)
    y = x @ layer.weight.t() + layer.bias
    patch = layer.patch
    expected = y + F.gelu(y @ patch.down.weight.t() + patch.down.bias) @ patch.up.weight.t() + patch.up.bias
    torch.testing.assert_close(layer(x), expected)


def test_it_starts_as_the_layer_it_is_made_of():
    model, x = nn.Sequential(nn.Linear(12, 8)), torch.randn(5, 12)
    before = model(x)
    (patch,) = convert_to_patched(model, ["0"], 3)
    patch.apply(partial(normal_weights, std=0.02))
    assert patch.down.weight.std() > 0 and torch.equal(model(x), before)


def test_dense_weights_load_and_leave_the_patch(layer):
    dense, patch = nn.Linear(12, 8), {name: value.clone() for name, value in layer.patch.state_dict().items()}
    layer.load_state_dict(dense.state_dict())
    assert torch.equal(layer.weight, dense.weight)
    assert all(torch.equal(value, patch[name]) for name, value in layer.patch.state_dict().items())


def test_its_own_weights_load(layer):
    again = PatchedLinear(nn.Linear(12, 8), 3)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.patch.up.weight, layer.patch.up.weight)


def test_a_part_of_a_patch_is_refused(layer):
    weights = layer.state_dict()
    del weights["patch.up.bias"]
    with pytest.raises(RuntimeError, match="Missing key.*patch.up.bias"):
        layer.load_state_dict(weights)


def test_a_width_of_zero_is_refused_and_changes_nothing():
    model = nn.Sequential(nn.Linear(12, 8), nn.Linear(8, 4))
    with pytest.raises(ValueError, match="width of a patch is at least 1, not 0"):
        convert_to_patched(model, "all-linear", 0)
    assert not any(isinstance(module, PatchedLinear) for module in model)
