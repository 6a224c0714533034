"""Truncation: errors within their bounds, lossless at full bonds, and limits that are checked."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, mpo_of, relative

from recbole_mpo.layers.mpo import GAUGES
from recbole_mpo.layers.mpo.decompose import to_tensor
from recbole_mpo.layers.mpo.truncation import discarded_norms


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
