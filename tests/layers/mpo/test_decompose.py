"""Decompositions: exact to rounding for hard weights, deterministic, and in the gauge that was asked for.

Legend: core k is (r, i, o, s); W is (out, in) as ``nn.Linear`` stores it.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, mpo_of, relative
from torch import nn

from recbole_mpo.layers.mpo import GAUGES, MPOLinear


@pytest.mark.parametrize("gauge", ["central", "symmetric"])
@pytest.mark.parametrize("kind", ["gaussian", "zeros", "one_entry", "rank_one", "tiny", "power_law"])
def test_hard_weights_at_the_size_of_the_paper(kind, gauge):
    torch.manual_seed(0)
    linear = nn.Linear(768, 300, bias=False)
    weight = torch.randn(300, 768)
    if kind == "zeros":
        weight.zero_()
    if kind == "one_entry":
        weight.zero_()[7, 9] = 1.0
    if kind == "rank_one":
        weight = weight[:, :1] @ weight[:1]
    if kind == "tiny":
        weight *= 1e-20
    if kind == "power_law":
        U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
        weight = U * (torch.arange(300) + 1.0) ** -2 @ Vh
    linear.weight.data = weight
    layer = MPOLinear.from_linear(linear, gauge=gauge)
    result = layer.weight
    assert torch.isfinite(result).all() and all(torch.isfinite(core).all() for core in layer.cores)
    assert (result.double() - weight.double()).norm() <= 1e-6 * weight.double().norm()
    assert (result - weight).abs().max() <= 1e-5 * weight.abs().max()


def test_decomposition_is_deterministic_and_leaves_the_random_stream_alone():
    linear = nn.Linear(300, 256)
    state = torch.get_rng_state()
    first, second = MPOLinear.from_linear(linear), MPOLinear.from_linear(linear)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.cores, second.cores, strict=True))
    vectors = first.cores[1].detach().flatten(0, 2)
    assert (vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) > 0).all()


@settings(deadline=None, max_examples=30)
@given(factor_lists(counts=(2, 3, 4, 5, 7)), st.data())
def test_the_weight_does_not_depend_on_the_gauge(factors, data):
    layer = mpo_of(factors, torch.float64)
    weight = layer.weight.detach()
    bond = data.draw(st.integers(1, layer.num_cores - 1))
    d = layer.bond_dims[bond - 1]
    G = torch.eye(d, dtype=torch.float64) + 0.3 * torch.randn(d, d, dtype=torch.float64) / d
    with torch.no_grad():
        layer.cores[bond - 1].copy_(torch.tensordot(layer.cores[bond - 1], G, 1))
        layer.cores[bond].copy_(torch.tensordot(torch.linalg.inv(G), layer.cores[bond], 1))
    assert relative(layer.weight, weight) <= 1e-10
    gauge = data.draw(st.sampled_from(GAUGES))
    layer.canonicalize(gauge)
    once = layer.weight.detach()
    cores = [core.detach().clone() for core in layer.cores]
    layer.canonicalize(gauge)
    assert relative(once, weight) <= 1e-10 and relative(layer.weight, once) <= 1e-12
    assert layer.gauge == gauge and [c.shape for c in cores] == [c.shape for c in layer.cores]


@settings(deadline=None, max_examples=20)
@given(factor_lists())
def test_central_gauge_auxiliaries_are_orthogonal(factors):
    layer = mpo_of(factors, torch.float64)
    for k, core in enumerate(layer.cores):
        if k == layer.central_index:
            continue
        matrix = core.flatten(0, 2) if k < layer.central_index else core.flatten(1).t()
        identity = torch.eye(matrix.shape[1], dtype=torch.float64)
        torch.testing.assert_close(matrix.t() @ matrix, identity, rtol=0, atol=1e-10)


def test_symmetric_gauge_shares_the_singular_values():
    layer = mpo_of(((3, 4), (4, 3)), torch.float64, gauge="symmetric")
    left, right = layer.cores[0].flatten(0, 2), layer.cores[1].flatten(1)
    torch.testing.assert_close(left.t() @ left, right @ right.t())


def test_unknown_gauges_are_named():
    with pytest.raises(ValueError, match="one of central, symmetric, identity; got 'left'"):
        MPOLinear(12, 12, num_cores=3, gauge="left")
    with pytest.raises(ValueError, match="needs the full bonds"):
        MPOLinear(12, 12, num_cores=3, gauge="identity", max_bond_dim=2)
    layer = MPOLinear(12, 12, num_cores=3, max_bond_dim=2)
    with pytest.raises(ValueError, match="needs the full bonds"):
        layer.canonicalize("identity")
