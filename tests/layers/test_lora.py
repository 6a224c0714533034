"""LoRA layers: they start as the dense layer, train two thin matrices, and match MPORecLight's parameters."""

import hashlib

import pytest
import torch
from torch import nn

from recbole_mpo.layers.lora import LoRALinear, convert_to_lora, matched_rank
from recbole_mpo.layers.mpo.linear import MPOLinear
from recbole_mpo.layers.stacked import merge_stacked
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer import checkpoint


def digest(tensor):
    return hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(12, 8), rank=3, alpha=6.0)
    nn.init.normal_(layer.lora_B)
    return layer


def test_it_starts_as_the_layer_it_is_made_of():
    linear, x = nn.Linear(12, 8), torch.randn(5, 12)
    assert torch.equal(LoRALinear(linear, 3)(x), linear(x))


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
    found = LoRALinear(linear, matched_rank(linear))
    assert found.lora_A.numel() + found.lora_B.numel() == pytest.approx(wanted, rel=0.005)


@pytest.mark.parametrize("rank", [0, 9])
def test_ranks_are_checked(rank):
    with pytest.raises(ValueError, match="rank must be between 1 and 8"):
        convert_to_lora(nn.Sequential(nn.Linear(12, 8)), ["0"], rank=rank)


def test_a_run_leaves_the_frozen_matrices_as_they_were(tiny_settings):
    before = Experiment.of("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2}).model.state_dict()
    record = run("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2})
    path = f"{tiny_settings['checkpoint_dir']}/{record['run_id']}/last.pth"
    after = checkpoint.load_checkpoint(path)["state_dict"]
    same = {name for name in before if digest(before[name]) == digest(after[name])}
    assert same == {name for name in before if name.endswith("lin.weight")}


def test_a_dense_checkpoint_starts_a_run(tiny_settings):
    dense = run("UniSRec", "tiny", (), tiny_settings)
    path = f"{tiny_settings['checkpoint_dir']}/{dense['run_id']}/best.pth"
    model = Experiment.of("LoRA", "tiny", (), {**tiny_settings, "lora_rank": 2, "pretrained": path}).model
    weights = checkpoint.load_checkpoint(path)["state_dict"]
    for name, value in model.state_dict().items():
        assert "lora" in name or torch.equal(value, weights[name]), name
