"""Weights of several layers, stacked: MPO layers contracted together equal each by itself.

Legend: E experts; core k is (r, i, o, s); W is (out, in) as ``nn.Linear`` stores it.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, linear_of, mpo_of, oracle, relative, shuffle_cores
from torch import nn

from recbole_mpo.layers.lora import LoRALinear
from recbole_mpo.layers.mpo import MPOLinear
from recbole_mpo.layers.stacked import merge_stacked


@settings(deadline=None, max_examples=25)
@given(factor_lists(), st.sampled_from([0, 2]), st.integers(1, 3))
def test_batched_merge_equals_one_by_one_with_gradients(factors, t, experts):
    layers = [shuffle_cores(mpo_of(factors, torch.float64, seed=k), seed=k) for k in range(experts)]
    for layer in layers:
        if t and layer.num_cores > 1:
            layer.expand(t, init="orthogonal")
    upstream = torch.randn(experts, layers[0].out_features, layers[0].in_features, dtype=torch.float64)
    parameters = [core for layer in layers for core in (*layer.cores, *layer.expansion)]
    single = torch.stack([layer.weight for layer in layers])
    batched = merge_stacked(layers)
    torch.testing.assert_close(batched, single, rtol=1e-12, atol=1e-12)
    expected = torch.autograd.grad(single, parameters, upstream)
    for result, gradient in zip(torch.autograd.grad(batched, parameters, upstream), expected, strict=True):
        torch.testing.assert_close(result, gradient, rtol=1e-10, atol=1e-10)
    oracles = [oracle(layer.cores, layer.expansion, layer.expansion_bond) for layer in layers]
    torch.testing.assert_close(batched, torch.stack(oracles), rtol=1e-10, atol=1e-10)


def test_batched_merge_at_the_size_of_the_paper_skips_frozen_centres():
    layers = [MPOLinear(768, 300, False) for _ in range(2)]
    for layer in layers:
        layer.freeze_central()
    merged = merge_stacked(layers)
    torch.testing.assert_close(merged, torch.stack([layer.weight for layer in layers]))
    merged.sum().backward()
    assert all((core.grad is None) == (k == 2) for layer in layers for k, core in enumerate(layer.cores))


def test_stacking_takes_dense_and_mixed_layers():
    linear, layer = linear_of(((3, 2, 4), (2, 4, 3))), mpo_of(((3, 2, 4), (2, 4, 3)))
    other = mpo_of(((3, 2, 4), (2, 4, 3)))
    other.truncate(max_bond_dim=3)
    assert torch.equal(merge_stacked([linear, linear]), torch.stack([linear.weight] * 2))
    for mixed in ([linear, layer], [layer, other], [layer, other, linear]):
        assert torch.equal(merge_stacked(mixed), torch.stack([each.weight for each in mixed]))


def test_stacking_refuses_what_has_no_common_weight():
    with pytest.raises(ValueError, match="at least one"):
        merge_stacked([])
    with pytest.raises(ValueError, match=r"one size, got \[\(3, 4\), \(4, 3\)\]"):
        merge_stacked([nn.Linear(3, 4), nn.Linear(4, 3)])
    with pytest.raises(TypeError, match="got Embedding"):
        merge_stacked([nn.Embedding(3, 4)])


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 5]))
def test_padding_is_cut_off_again(in_features, out_features, n):
    linear = nn.Linear(in_features, out_features)
    layer = MPOLinear.from_linear(linear, num_cores=n, pad=True)
    assert relative(layer.weight, linear.weight) <= 1e-6
    assert layer.weight.shape == (out_features, in_features)
    for stacked in merge_stacked([layer, layer]):
        assert relative(stacked, linear.weight) <= 1e-6


def test_stacking_merges_low_rank_updates_beside_other_kinds():
    factors = ((3, 2, 4), (2, 4, 3))
    low_rank = LoRALinear(linear_of(factors), rank=3)
    nn.init.normal_(low_rank.lora_B)
    layers = [low_rank, mpo_of(factors), linear_of(factors)]
    weights = [low_rank.weight + low_rank.lora_B @ low_rank.lora_A, *(layer.weight for layer in layers[1:])]
    torch.testing.assert_close(merge_stacked(layers), torch.stack(weights))


def test_held_weights_are_stacked_as_they_are():
    layers = [mpo_of(((3, 2, 4), (2, 4, 3)), seed=seed).eval() for seed in range(2)]
    with torch.no_grad():
        layers[0].hold_weight()
        stacked = merge_stacked(layers)
        assert torch.equal(stacked[0], layers[0].weight) and torch.equal(stacked[1], layers[1].weight)
