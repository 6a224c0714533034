"""The product of two thin matrices: its error is the tail of the singular values, and it stands where a layer stood."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recbole_mpo.layers.low_rank import LowRankLinear, largest_saving_rank
from recbole_mpo.layers.stacked import merge_stacked


def linear(outputs=12, inputs=9, bias=True):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias).double()


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_the_error_is_the_tail_of_the_singular_values(outputs, inputs, data):
    layer = linear(outputs, inputs)
    rank = data.draw(st.integers(1, min(outputs, inputs)))
    low = LowRankLinear.from_linear(layer, rank)
    tail = torch.linalg.svdvals(layer.weight)[rank:].norm()
    assert float((low.merged_weight() - layer.weight).norm().detach()) == pytest.approx(float(tail.detach()), abs=1e-12)


def test_it_computes_with_its_whole_weight():
    layer = linear()
    low, x = LowRankLinear.from_linear(layer, 4), torch.randn(3, 5, 9).double()
    assert torch.allclose(low(x), x @ low.merged_weight().t() + layer.bias, atol=1e-12)
    assert torch.allclose(LowRankLinear.from_linear(layer, 9)(x), layer(x), atol=1e-12)
    assert torch.equal(merge_stacked([low, low])[1], low.merged_weight())
    assert LowRankLinear.from_linear(linear(bias=False), 2).bias is None


def test_a_frozen_layer_stays_frozen():
    layer = linear()
    layer.weight.requires_grad_(False)
    low = LowRankLinear.from_linear(layer, 2)
    assert {name for name, p in low.named_parameters() if p.requires_grad} == {"outer.bias"}


@pytest.mark.parametrize("rank", [0, 10])
def test_a_rank_that_does_not_fit(rank):
    with pytest.raises(ValueError, match=f"rank must be between 1 and 9, not {rank}"):
        LowRankLinear.from_linear(linear(), rank)


@pytest.mark.parametrize("inputs, outputs, rank", [(300, 300, 149), (768, 300, 215), (300, 256, 138), (1, 5, 0)])
def test_the_largest_rank_that_saves(inputs, outputs, rank):
    assert largest_saving_rank(inputs, outputs) == rank
    assert rank * (inputs + outputs) < inputs * outputs <= (rank + 1) * (inputs + outputs)
