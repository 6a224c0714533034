"""MPOLinear: the map of a dense layer, its counts, what is trained, dtypes, copies and the way back.

Legend: core k is (r, i, o, s); W is (out, in) as ``nn.Linear`` stores it.
"""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, linear_of, mpo_of, relative
from torch import nn

from recbole_mpo.layers.mpo import GAUGES, MPOLinear
from recbole_mpo.layers.stacked import merge_stacked

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
PAPER_COUNTS = (36, 5_184, 230_400, 25_600, 64)


@settings(deadline=None, max_examples=40)
@given(factor_lists(), st.sampled_from(GAUGES), st.sampled_from([torch.float32, torch.float64]))
def test_from_linear_is_the_same_map(factors, gauge, dtype):
    linear = linear_of(factors, dtype)
    layer = mpo_of(factors, dtype, gauge=gauge)
    x = torch.randn(3, linear.in_features, dtype=dtype)
    assert relative(layer.weight, linear.weight) <= TOLERANCE[dtype]
    assert (layer.weight - linear.weight).abs().max() <= 1e-5 * linear.weight.abs().max()
    torch.testing.assert_close(layer(x), linear(x), rtol=1e-5, atol=1e-5)
    if gauge == "identity":
        assert torch.equal(layer.weight, linear.weight)


def test_golden_counts_of_table_6():
    layer = MPOLinear(768, 300, bias=False)
    assert tuple(core.numel() for core in layer.cores) == PAPER_COUNTS
    assert sum(p.numel() for p in layer.parameters()) == 261_284
    assert 8 * sum(p.numel() for p in layer.auxiliary_parameters()) == 247_072
    layer.expand(2)
    assert sum(p.numel() for p in layer.parameters()) == 271_652
    assert layer.expansion_bond == 2 and layer.expansion[0].shape == (72, 1, 1, 72)


def test_a_new_layer_is_xavier_with_zero_bias():
    layer = MPOLinear(768, 300)
    limit = math.sqrt(6 / (768 + 300))
    assert layer.weight.abs().max() <= limit * 1.0001
    assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert not layer.bias.any()


def test_a_meta_layer_has_shapes_only():
    layer = MPOLinear(768, 300, device="meta")
    assert layer.weight.shape == (300, 768) and layer.weight.is_meta


def test_light_trains_the_auxiliary_cores_only():
    layer = mpo_of(((3, 4, 2), (2, 4, 3)))
    layer.freeze_central()
    trained = {name for name, p in layer.named_parameters() if p.requires_grad}
    assert trained == {"cores.0", "cores.2", "bias"}
    centre, before = layer.cores[1].clone(), layer.weight.detach()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(8, 24)).square().sum().backward()
        assert layer.cores[1].grad is None
        optimizer.step()
    assert torch.equal(layer.cores[1], centre)
    moved = (layer.weight - before).reshape(2, 4, 3, 3, 4, 2).abs().amax(dim=(0, 2, 3, 5))
    assert (moved > 0).all()
    assert layer.to_linear().weight.requires_grad
    layer.unfreeze()
    assert all(p.requires_grad for p in layer.parameters())


def test_light_needs_an_odd_number_of_cores():
    with pytest.raises(ValueError, match="num_cores must be odd"):
        mpo_of(((2, 2), (2, 2))).freeze_central()


def test_light_without_capacity_warns():
    layer = MPOLinear(397, 64, device="meta")
    with pytest.warns(UserWarning, match="of the dense size"):
        layer.freeze_central()


def test_a_frozen_weight_gives_frozen_cores():
    linear = nn.Linear(12, 8).eval()
    linear.weight.requires_grad_(False)
    layer = MPOLinear.from_linear(linear, num_cores=3)
    layer.expand(1)
    assert {name for name, p in layer.named_parameters() if p.requires_grad} == {"bias"}
    assert not layer.training
    assert not layer.to_linear().weight.requires_grad and layer.to_linear().bias.requires_grad


def test_deepcopy_and_pickle():
    layer = mpo_of(((3, 2, 4), (2, 4, 3)))
    layer.expand(2, init="orthogonal")
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin.weight, layer.weight)
        assert {id(p) for p in twin.parameters()}.isdisjoint({id(p) for p in layer.parameters()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_to_linear_has_the_same_outputs_and_dtype(dtype):
    layer = mpo_of(((3, 2, 4), (2, 4, 3)), dtype).eval()
    linear = layer.to_linear()
    assert type(linear) is nn.Linear and linear.weight.dtype == linear.bias.dtype == dtype
    assert not linear.training
    x = torch.randn(3, 24, dtype=dtype)
    assert layer(x).dtype == dtype
    torch.testing.assert_close(layer(x), linear(x))
    if dtype in (torch.bfloat16, torch.float16):
        assert layer.cores[0].dtype == torch.float32


def test_a_dense_copy_shares_no_memory_with_a_single_core():
    layer = MPOLinear(4, 1, num_cores=1)
    assert layer.to_linear().weight.data_ptr() != layer.cores[0].data_ptr()


def test_the_merge_is_exact_under_autocast():
    layer = mpo_of(((3, 2, 4), (2, 4, 3)))
    expected, x = layer.weight, torch.randn(3, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.weight, expected)
        assert relative(merge_stacked([layer, layer])[1], expected) <= 1e-6
        assert layer(x).dtype == torch.bfloat16


def test_a_cast_layer_follows_its_new_dtype():
    layer = mpo_of(((3, 2, 4), (2, 4, 3))).double()
    assert layer.weight.dtype == layer.to_linear().weight.dtype == torch.float64
    assert layer(torch.randn(2, 24)).dtype == torch.float32
    assert layer.to(torch.bfloat16).weight.dtype == torch.float32
    assert layer.to_linear().weight.dtype == torch.bfloat16
    with pytest.raises(RuntimeError):
        layer(torch.ones(2, 24, dtype=torch.long))


@pytest.mark.parametrize(
    ("made_as", "cast_to", "dense"),
    [
        (torch.bfloat16, torch.float32, torch.bfloat16),
        (torch.float16, torch.float64, torch.float64),
        (torch.float64, torch.float32, torch.float32),
    ],
)
def test_a_half_type_is_restored_as_long_as_the_cores_are_those_it_was_given(made_as, cast_to, dense):
    layer = mpo_of(((3, 2, 4), (2, 4, 3)), made_as).to(cast_to)
    assert layer.dense_weight().dtype == layer.to_linear().weight.dtype == dense


def test_from_linear_refuses_other_modules_and_bad_weights():
    with pytest.raises(TypeError, match="takes an nn.Linear, got Embedding"):
        MPOLinear.from_linear(nn.Embedding(4, 4))
    linear = nn.Linear(12, 12)
    linear.weight.data[3, 4] = math.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        MPOLinear.from_linear(linear, num_cores=3)
