"""Truncation: errors within their bounds, lossless at full bonds, and limits that are checked."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, mpo_of, relative

from recbole_mpo.layers.mpo import GAUGES, MPOLinear
from recbole_mpo.layers.mpo.decompose import to_tensor
from recbole_mpo.layers.mpo.truncation import bond_spectra, discarded_norms, entropy


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
    with pytest.raises(ValueError, match="max_error must be between 0 and 1, relative to the weight's norm; got 2"):
        layer.truncate(max_error=2)


@settings(deadline=None, max_examples=30)
@given(factor_lists(), st.sampled_from(("central", "symmetric")), st.integers(1, 6))
def test_what_bonds_discard_in_turn_adds_up_to_the_error(factors, gauge, cap):
    base = mpo_of(factors, torch.float64, gauge=gauge)
    weight = base.weight.detach()
    report = base.truncate(max_bond_dim=cap)
    assert math.hypot(*report.discarded) == pytest.approx(float(relative(base.weight, weight)), rel=1e-6, abs=1e-9)
    assert len(report.discarded) == len(base.bond_dims)


@pytest.mark.parametrize("size", [(768, 300), (300, 256), (300, 300)])
@pytest.mark.parametrize("cores", [3, 5, 7])
def test_the_error_of_a_sweep_is_exact_for_the_models_matrices(size, cores):
    torch.manual_seed(0)
    linear = torch.nn.Linear(*size, dtype=torch.float64)
    layer = MPOLinear.from_linear(linear, num_cores=cores)
    report = layer.truncate(max_bond_dim=max(layer.bond_dims) // 2)
    error = float((layer.weight - linear.weight).norm().detach() / linear.weight.norm().detach())
    assert math.hypot(*report.discarded) == pytest.approx(error, rel=1e-9) and error > 0.05


def test_spectra_and_entropy_of_bonds():
    tensor = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    tensor[0, 0, 0, 0] = 3.0
    (values,) = bond_spectra(tensor)
    assert values.tolist() == [3, 0, 0, 0] and entropy(values) == 0
    assert entropy(torch.ones(4)) == pytest.approx(math.log(4))
    assert entropy(torch.zeros(3)) == 0
