"""Layers that declare a merged weight: what they say is what they multiply by."""

import pytest
import torch
from torch import nn

from recbole_mpo.layers.lora import LoRALinear
from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.layers.mpo import MPOLinear


def lora_layer():
    layer = LoRALinear(nn.Linear(12, 8), rank=3, alpha=6.0)
    nn.init.normal_(layer.lora_B)
    return layer


@pytest.mark.parametrize("make", [lora_layer, lambda: MPOLinear(12, 8, num_cores=3)], ids=["lora", "mpo"])
def test_the_merged_weight_is_what_a_layer_multiplies_by(make):
    torch.manual_seed(0)
    layer, x = make(), torch.randn(5, 12)
    assert isinstance(layer, MergeableLinear) and isinstance(layer, nn.Module)
    weight = layer.merged_weight()
    assert weight.shape == (layer.out_features, layer.in_features) == (8, 12) and weight.requires_grad
    torch.testing.assert_close(layer(x), nn.functional.linear(x, weight, layer.bias))


def test_a_dense_layer_needs_no_declaration():
    assert not isinstance(nn.Linear(3, 4), MergeableLinear)


def test_a_declaration_without_a_weight_is_named():
    class Unfinished(MergeableLinear, nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Unfinished does not define merged_weight\(\)"):
        Unfinished().merged_weight()
