"""MPOLinear: exactness, gauges, strategies, truncation, checkpoints and the batched merge.

Legend: E experts; core k is (r, i, o, s); W is (out, in) as `nn.Linear` stores it.
The oracle contracts left to right with tensordot, a different order and other primitives than the layer's.
"""

import copy
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recbole_mpo.layers.mpo.contract import contract_cores
from recbole_mpo.layers.mpo.decompose import discarded_norms, to_tensor
from recbole_mpo.layers.mpo.factors import full_bond_dims, parameter_counts
from recbole_mpo.layers.mpo.linear import MPOLinear
from recbole_mpo.layers.stacked import merge_stacked

GAUGES = ["central", "symmetric", "identity"]
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
PAPER_COUNTS = (36, 5_184, 230_400, 25_600, 64)


@st.composite
def factor_lists(draw, counts=(1, 2, 3, 4, 5, 7)):
    n = draw(st.sampled_from(counts))
    largest = {1: 4, 2: 4, 3: 4, 4: 3, 5: 3, 7: 2}[n]
    lists = st.lists(st.integers(1, largest), min_size=n, max_size=n)
    return tuple(draw(lists)), tuple(draw(lists))


def linear_of(factors, dtype=torch.float32, bias=True, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(math.prod(factors[0]), math.prod(factors[1]), bias, dtype=dtype)


def mpo_of(factors, dtype=torch.float32, seed=0, **options):
    linear = linear_of(factors, dtype, seed=seed)
    in_factors, out_factors = factors
    return MPOLinear.from_linear(
        linear, num_cores=len(in_factors), in_factors=in_factors, out_factors=out_factors, **options
    )


def shuffle_cores(layer, seed=1):
    """Random cores: the exact structure of a decomposition hides errors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for core in (*layer.cores, *layer.expansion):
            values = torch.randn(core.shape, generator=generator, dtype=torch.float64)
            core.copy_(values / math.sqrt(core.shape[0]))
    return layer


def oracle(cores, expansion=(), bond=0):
    """W (out, in) from left to right, one tensordot per core, one transpose of all axes at the end."""
    chain = [*cores[:bond], *expansion, *cores[bond:]] if bond else list(cores)
    product = chain[0]
    for core in chain[1:]:
        product = torch.tensordot(product, core, dims=1)
    axes = list(range(1, product.dim() - 1))
    rows, columns = axes[1::2], axes[0::2]
    product = product.permute(0, *rows, *columns, product.dim() - 1)
    out_features = math.prod(product.shape[1 : 1 + len(rows)])
    return product.reshape(out_features, -1)


def relative(found, expected):
    found, expected = found.detach(), expected.detach()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-300))


# 1, 2: exactness


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
    found = layer.weight
    assert torch.isfinite(found).all() and all(torch.isfinite(core).all() for core in layer.cores)
    assert (found.double() - weight.double()).norm() <= 1e-6 * weight.double().norm()
    assert (found - weight).abs().max() <= 1e-5 * weight.abs().max()


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 5]))
def test_padding_is_cut_off_again(in_features, out_features, n):
    linear = nn.Linear(in_features, out_features)
    layer = MPOLinear.from_linear(linear, num_cores=n, pad=True)
    assert relative(layer.weight, linear.weight) <= 1e-6
    assert layer.weight.shape == (out_features, in_features)
    for stacked in merge_stacked([layer, layer]):
        assert relative(stacked, linear.weight) <= 1e-6


def test_a_larger_product_is_padded_with_given_factors():
    linear = nn.Linear(397, 6)
    layer = MPOLinear.from_linear(linear, num_cores=3, in_factors=(8, 10, 5), out_factors=(1, 3, 2), pad=True)
    assert layer.in_features == 397 and math.prod(layer.in_factors) == 400
    assert relative(layer.weight, linear.weight) <= 1e-6


def test_decomposition_is_deterministic_and_leaves_the_random_stream_alone():
    linear = nn.Linear(300, 256)
    state = torch.get_rng_state()
    first, second = MPOLinear.from_linear(linear), MPOLinear.from_linear(linear)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.cores, second.cores, strict=True))
    vectors = first.cores[1].detach().flatten(0, 2)
    assert (vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) > 0).all()


# 3, 4: shapes and counts


@settings(deadline=None, max_examples=20)
@given(factor_lists())
def test_shapes_follow_eq_2(factors):
    layer = mpo_of(factors)
    assert layer.bond_dims == full_bond_dims(*factors)
    assert (layer.in_factors, layer.out_factors) == factors
    assert [core.numel() for core in layer.cores] == list(parameter_counts(*factors))
    assert layer.central_index == layer.num_cores // 2


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


# 5: expansion


@settings(deadline=None, max_examples=30)
@given(factor_lists(counts=(2, 3, 4, 5, 7)), st.integers(1, 4), st.data())
def test_expansion_leaves_the_weight_alone(factors, t, data):
    layer = shuffle_cores(mpo_of(factors))
    before, count = layer.weight, sum(p.numel() for p in layer.parameters())
    bond = data.draw(st.sampled_from([None, *range(1, layer.num_cores)]))
    init = data.draw(st.sampled_from(["identity", "orthogonal"]))
    layer.expand(t, init=init, bond=bond)
    if init == "identity":
        assert torch.equal(layer.weight, before)
    assert relative(layer.weight, before) <= 1e-6
    d = layer.bond_dims[layer.expansion_bond - 1]
    assert sum(p.numel() for p in layer.parameters()) == count + t * d * d
    shuffle_cores(layer, seed=2)
    expanded = layer.weight.detach()
    assert relative(expanded, oracle(layer.cores, layer.expansion, layer.expansion_bond)) <= 1e-5
    layer.fold_expansion()
    assert len(layer.expansion) == 0
    torch.testing.assert_close(layer.weight, expanded, rtol=1e-4, atol=1e-5 * float(expanded.abs().max()))


def test_orthogonal_expansion_breaks_the_symmetry_of_gradients():
    grads = {}
    for init in ("identity", "orthogonal"):
        layer = mpo_of(((2, 3, 2), (2, 2, 3)))
        layer.expand(2, init=init)
        layer(torch.ones(1, 12)).square().sum().backward()
        grads[init] = [core.grad for core in layer.expansion]
    torch.testing.assert_close(*grads["identity"])
    assert not torch.allclose(*grads["orthogonal"])


def test_expansion_cores_do_not_share_memory():
    layer = mpo_of(((2, 3, 2), (2, 2, 3)), torch.float64)
    layer.expand(2)
    layer.expand(1)
    assert len({core.data_ptr() for core in layer.expansion}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(t=0), "at least one core, got 0"),
        (dict(t=1, init="noise"), "one of identity, orthogonal; got 'noise'"),
        (dict(t=1, bond=3), "bond 3 does not exist: there are bonds 1 to 2"),
    ],
)
def test_expansions_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        mpo_of(((2, 3, 2), (2, 2, 3))).expand(**arguments)


def test_a_second_expansion_stays_on_its_bond():
    layer = mpo_of(((2, 3, 2), (2, 2, 3)))
    layer.expand(1, bond=2)
    with pytest.raises(ValueError, match="sit on bond 2"):
        layer.expand(1, bond=1)
    with pytest.raises(ValueError, match="single core has no bond"):
        MPOLinear(4, 4, num_cores=1).expand(1)


# 6: light


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


# 7, 13: gradients


@pytest.mark.parametrize("bond", [0, 1, 2])
def test_gradcheck(bond):
    layer = mpo_of(((2, 1, 2), (1, 3, 2)), torch.float64)
    if bond:
        layer.expand(2, init="orthogonal", bond=bond)
    cores, inserted = list(layer.cores), list(layer.expansion)
    assert torch.autograd.gradcheck(
        lambda *tensors: contract_cores(tensors[:3], tensors[3:], bond), (*cores, *inserted)
    )


@settings(deadline=None, max_examples=20)
@given(factor_lists(), st.booleans())
def test_core_gradients_are_the_chain_rule_of_the_dense_gradient(factors, expanded):
    layer = shuffle_cores(mpo_of(factors, torch.float64))
    if expanded and layer.num_cores > 1:
        layer.expand(2, init="orthogonal")
    x = torch.randn(5, layer.in_features, dtype=torch.float64)
    target = torch.randn(5, layer.out_features, dtype=torch.float64)
    (layer(x) - target).square().sum().backward()
    cores = [core.detach().clone().requires_grad_() for core in (*layer.cores, *layer.expansion)]
    n = layer.num_cores
    weight = oracle(cores[:n], cores[n:], layer.expansion_bond)
    residual = 2 * (x @ weight.detach().t() + layer.bias.detach() - target)
    expected = torch.autograd.grad(weight, cores, grad_outputs=residual.t() @ x)
    for core, gradient in zip((*layer.cores, *layer.expansion), expected, strict=True):
        torch.testing.assert_close(core.grad, gradient, rtol=1e-9, atol=1e-9)


def test_one_sgd_step_is_the_manual_chain_rule():
    layer = mpo_of(((2, 3), (3, 2)), torch.float64)
    x, lr = torch.randn(4, 6, dtype=torch.float64), 0.1
    T0, T1 = (core.detach().clone() for core in layer.cores)
    residual = 2 * (x @ oracle([T0, T1]).t() + layer.bias.detach())
    # dW as (i_0, o_0, i_1, o_1)
    dense = to_tensor(residual.t() @ x, (2, 3), (3, 2))
    expected0 = T0 - lr * torch.einsum("iojp,rjp->ior", dense, T1[..., 0])[None]
    expected1 = T1 - lr * torch.einsum("iojp,ior->rjp", dense, T0[0])[..., None]
    layer(x).square().sum().backward()
    torch.optim.SGD(layer.cores.parameters(), lr=lr).step()
    torch.testing.assert_close(layer.cores[0].detach(), expected0)
    torch.testing.assert_close(layer.cores[1].detach(), expected1)


# 8: gauges


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


# 9: truncation


@settings(deadline=None, max_examples=30)
@given(factor_lists(), st.sampled_from(GAUGES), st.integers(1, 12), st.floats(0.0, 0.9))
def test_truncation_error_lies_within_its_bounds(factors, gauge, cap, max_error):
    base = mpo_of(factors, torch.float64, gauge=gauge)
    weight = base.weight.detach()
    for limits in (dict(max_bond_dim=cap), dict(max_error=max_error)):
        layer = copy.deepcopy(base)
        report = layer.truncate(**limits)
        lower = max(discarded_norms(to_tensor(weight, *factors), layer.bond_dims), default=0) / weight.norm()
        assert lower - 1e-12 <= report.error <= report.bound + 1e-12
        assert relative(layer.weight, weight) == pytest.approx(report.error, abs=1e-12)
        assert report.bond_dims == layer.bond_dims
        assert report.params == sum(core.numel() for core in layer.cores)
        assert report.error <= limits.get("max_error", 1.0) + 1e-12
        assert max(layer.bond_dims, default=1) <= limits.get("max_bond_dim", math.inf)


def test_truncation_is_monotone_and_lossless_at_full_bonds():
    factors, errors = ((3, 2, 4), (2, 4, 3)), []
    for cap in range(1, 13):
        errors.append(mpo_of(factors, torch.float64).truncate(max_bond_dim=cap).error)
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1 and errors[-1] < 1e-12


def test_truncation_in_single_precision_with_frozen_and_expanded_cores():
    layer = mpo_of(((3, 2, 4), (2, 4, 3)), gauge="identity")
    layer.freeze_central()
    layer.expand(2)
    report = layer.truncate(max_bond_dim=(3, 4))
    assert report.bond_dims == (3, 4) and len(layer.expansion) == 0 and layer.gauge == "central"
    assert {name for name, p in layer.named_parameters() if not p.requires_grad} == {"cores.1"}
    assert layer.cores[0].dtype == torch.float32


def test_truncated_cores_save_no_more_than_themselves():
    layer = mpo_of(((3, 2, 4), (2, 4, 3)), torch.float64)
    layer.truncate(max_bond_dim=2)
    assert all(core.untyped_storage().nbytes() == 8 * core.numel() for core in layer.cores)


def test_truncation_takes_one_limit():
    layer = mpo_of(((2, 2), (2, 2)))
    for limits in ({}, dict(max_bond_dim=1, max_error=0.1)):
        with pytest.raises(ValueError, match="exactly one"):
            layer.truncate(**limits)
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        layer.truncate(max_error=2)


@settings(deadline=None, max_examples=20)
@given(factor_lists(), st.integers(1, 6), st.sampled_from(["central", "symmetric"]))
def test_capped_bonds_at_construction(factors, cap, gauge):
    layer = mpo_of(factors, max_bond_dim=cap, gauge=gauge)
    assert layer.bond_dims == tuple(min(cap, bond) for bond in full_bond_dims(*factors))
    assert relative(layer.weight, oracle(list(layer.cores))) <= 1e-6


# 10: checkpoints


def test_mpo_state_dict_round_trip():
    factors = ((3, 2, 4), (2, 4, 3))
    saved, loaded = mpo_of(factors, seed=1), mpo_of(factors, seed=2)
    identities = [id(core) for core in loaded.cores]
    assert list(saved.state_dict()) == ["bias", "cores.0", "cores.1", "cores.2"]
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded.weight, saved.weight)
    assert [id(core) for core in loaded.cores] == identities


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("expanded", [0, 2])
def test_a_dense_checkpoint_is_decomposed(strict, expanded):
    linear = linear_of(((3, 2, 4), (2, 4, 3)), seed=5)
    model = nn.Sequential(mpo_of(((3, 2, 4), (2, 4, 3))))
    if expanded:
        model[0].expand(expanded)
        shuffle_cores(model[0])
    state = nn.Sequential(linear).state_dict()
    result = model.load_state_dict(state, strict=strict)
    assert not result.missing_keys and not result.unexpected_keys
    assert list(state) == ["0.weight", "0.bias"]
    assert relative(model[0].weight, linear.weight) <= 1e-6
    assert torch.equal(model[0].bias, linear.bias)


@pytest.mark.parametrize("init", ["identity", "orthogonal"])
def test_a_base_checkpoint_loads_into_an_expanded_layer(init):
    factors = ((3, 2, 4), (2, 4, 3))
    base, layer = mpo_of(factors, seed=1), mpo_of(factors, seed=2)
    layer.expand(2, init=init)
    shuffle_cores(layer)
    layer.load_state_dict(base.state_dict())
    assert relative(layer.weight, base.weight) <= 1e-6


@pytest.mark.parametrize("expanded", [0, 2])
def test_a_truncated_checkpoint_resizes_the_layer(expanded):
    factors = ((3, 2, 4), (2, 4, 3))
    small, layer = mpo_of(factors, seed=1), mpo_of(factors, seed=2, gauge="identity")
    small.truncate(max_bond_dim=3)
    layer.freeze_central()
    if expanded:
        layer.expand(expanded)
        small.expand(expanded)
        shuffle_cores(small)
    layer.load_state_dict(small.state_dict())
    assert layer.bond_dims == (3, 3) and torch.equal(layer.weight, small.weight)
    assert not layer.cores[1].requires_grad and layer.cores[0].requires_grad
    layer.load_state_dict(linear_of(factors).state_dict())


def test_a_dense_checkpoint_loads_by_assignment_into_a_meta_layer():
    linear = nn.Linear(24, 24)
    layer = MPOLinear(24, 24, num_cores=3, device="meta")
    layer.load_state_dict(linear.state_dict(), assign=True)
    assert relative(layer.weight, linear.weight) <= 1e-6


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": torch.zeros(24, 23)}, r"size mismatch for weight: the checkpoint has \(24, 23\)"),
        ({"weight": torch.full((24, 24), math.nan)}, "NaN or infinite"),
        ({f"cores.{k}": torch.zeros(1, 2, 2, 1) for k in range(3)}, "do not fit"),
        ({f"cores.{k}": torch.zeros(3) for k in range(3)}, "do not fit"),
        (mpo_of(((2, 3, 2, 2), (2, 3, 2, 2))).state_dict(), "do not fit"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_without_strict(state, message):
    with pytest.raises(RuntimeError, match=message):
        mpo_of(((3, 2, 4), (2, 4, 3))).load_state_dict(state, strict=False)


def test_an_expanded_checkpoint_needs_as_many_expansion_cores():
    expanded = mpo_of(((3, 2, 4), (2, 4, 3)))
    expanded.expand(2)
    with pytest.raises(RuntimeError, match=r"has 2 expansion cores, the layer 0: expand\(\) to match"):
        mpo_of(((3, 2, 4), (2, 4, 3))).load_state_dict(expanded.state_dict(), strict=False)


def test_deepcopy_and_pickle():
    layer = mpo_of(((3, 2, 4), (2, 4, 3)))
    layer.expand(2, init="orthogonal")
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin.weight, layer.weight)
        assert {id(p) for p in twin.parameters()}.isdisjoint({id(p) for p in layer.parameters()})


# 11: dense layer, dtypes, autocast


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


# The batched merge


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
    for found, gradient in zip(torch.autograd.grad(batched, parameters, upstream), expected, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-10)
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


# Errors and the printed form


def test_from_linear_refuses_other_modules_and_bad_weights():
    with pytest.raises(TypeError, match="takes an nn.Linear, got Embedding"):
        MPOLinear.from_linear(nn.Embedding(4, 4))
    linear = nn.Linear(12, 12)
    linear.weight.data[3, 4] = math.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        MPOLinear.from_linear(linear, num_cores=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(in_factors=(3, 4, 2)), r"in_factors \(3, 4, 2\) multiply to 24, in_features is 12"),
        (dict(in_factors=(3, 4), out_factors=(2, 3, 2)), "has 2 entries, num_cores is 3"),
        (dict(max_bond_dim=(2, 200)), "bond 2 has dimension 200"),
    ],
)
def test_constructor_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MPOLinear(12, 12, num_cores=3, **arguments)


def test_extra_repr():
    layer = MPOLinear(768, 300, bias=False)
    layer.expand(2)
    assert layer.extra_repr() == (
        "in_features=768, out_features=300, bias=False, in_factors=(3,4,4,4,4), out_factors=(2,3,5,5,2), "
        "bond_dims=(6,72,160,8), expansion=2@bond2, params=271652 (117.9% of dense), trainable=all"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.freeze_central()
    assert layer.extra_repr().endswith("trainable=auxiliary")
    layer.requires_grad_(False)
    assert layer.extra_repr().endswith("trainable=none")
    layer.cores[0].requires_grad_(True)
    assert layer.extra_repr().endswith("trainable=some")
