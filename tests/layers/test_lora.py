"""LoRA layers: they start as the dense layer, train two thin matrices, and match MPORecLight's parameters."""

import warnings
from itertools import product

import pytest
import torch
from torch import nn

from recbole_mpo.layers.lora import LoRALinear, convert_to_lora, matched_rank
from recbole_mpo.layers.mpo import MPOLinear
from recbole_mpo.layers.stacked import merge_stacked


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(12, 8), rank=3, alpha=6.0)
    nn.init.normal_(layer.lora_B)
    return layer


def test_it_starts_as_the_layer_it_is_made_of():
    linear, x = nn.Linear(12, 8), torch.randn(5, 12)
    assert torch.equal(LoRALinear(linear, 3)(x), linear(x))


@pytest.mark.parametrize("rank", [1, 8])
def test_ranks_are_from_one_to_the_smaller_side(rank):
    model = nn.Sequential(nn.Linear(12, 8))
    assert convert_to_lora(model, ["0"], rank) is model
    assert model[0].lora_B.shape == (8, rank)


def test_the_update_is_the_scaled_product(layer):
    x = torch.randn(5, 12)
    expected = x @ (layer.weight + 2.0 * layer.lora_B @ layer.lora_A).t() + layer.bias
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(merge_stacked([layer, layer])[1], layer.weight + 2.0 * layer.lora_B @ layer.lora_A)


def test_only_the_thin_matrices_take_gradients(layer):
    layer(torch.randn(5, 12)).sum().backward()
    assert {name for name, p in layer.named_parameters() if p.grad is not None} == {"lora_A", "lora_B", "bias"}


def test_dense_weights_load_and_reset_the_update(layer):
    dense = nn.Linear(12, 8)
    layer.load_state_dict(dense.state_dict())
    x = torch.randn(5, 12)
    assert torch.equal(layer(x), dense(x))
    again = LoRALinear(nn.Linear(12, 8), 3)
    nn.init.normal_(layer.lora_B)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.lora_B, layer.lora_B)


@pytest.mark.parametrize("features", [384, 768])
def test_the_default_rank_trains_what_light_trains(features):
    linear = nn.Linear(features, 300, bias=False)
    light = MPOLinear.from_linear(linear)
    light.freeze_central()
    wanted = sum(p.numel() for p in light.parameters() if p.requires_grad)
    matched = LoRALinear(linear, matched_rank(linear))
    assert matched.lora_A.numel() + matched.lora_B.numel() == pytest.approx(wanted, rel=0.005)


def test_the_default_rank_is_counted_without_a_decomposition_and_equals_a_counted_layer():
    sizes = (1, 2, 7, 12, 31, 60, 64, 96, 256, 300, 397, 512, 768, 1024)
    for in_features, out_features, num_cores in product(sizes, sizes, (1, 3, 5, 7)):
        linear = nn.Linear(in_features, out_features, device="meta")
        light = MPOLinear.from_linear(linear, num_cores=num_cores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            light.freeze_central()
        trained = sum(p.numel() for p in light.cores if p.requires_grad)
        assert matched_rank(linear, num_cores) == max(1, round(trained / (in_features + out_features)))


def test_the_default_rank_needs_a_central_core():
    with pytest.raises(ValueError, match="4 cores have no central core: num_cores must be odd"):
        convert_to_lora(nn.Sequential(nn.Linear(12, 8)), ["0"], num_cores=4)


@pytest.mark.parametrize("rank", [0, 9])
def test_ranks_are_checked(rank):
    with pytest.raises(ValueError, match="rank must be between 1 and 8"):
        convert_to_lora(nn.Sequential(nn.Linear(12, 8)), ["0"], rank=rank)


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1.0), (6.0, 2.0), (1.5, 0.5)])
def test_the_update_is_multiplied_by_alpha_over_rank(alpha, scale):
    """Once, where alpha is left out."""
    layer = LoRALinear(torch.nn.Linear(5, 4), 3, alpha)
    torch.nn.init.normal_(layer.lora_B)
    torch.testing.assert_close(layer.merged_weight(), layer.weight + scale * layer.lora_B @ layer.lora_A)
