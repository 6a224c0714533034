"""Shapes: resolved for a layer's sizes, given whole or by keywords, and refused where they do not fit.

Legend: n cores; d bond dimensions.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, mpo_of, oracle, relative
from torch import nn

from recbole_mpo.layers.mpo import MPOLinear, MPOShape, convert_to_mpo
from recbole_mpo.layers.mpo.factors import full_bond_dims, parameter_counts


@settings(deadline=None, max_examples=20)
@given(factor_lists())
def test_shapes_follow_eq_2(factors):
    layer = mpo_of(factors)
    assert layer.bond_dims == full_bond_dims(*factors)
    assert (layer.in_factors, layer.out_factors) == factors
    assert [core.numel() for core in layer.cores] == list(parameter_counts(*factors))
    assert layer.central_index == layer.num_cores // 2


@settings(deadline=None, max_examples=20)
@given(factor_lists(), st.integers(1, 6), st.sampled_from(["central", "symmetric"]))
def test_capped_bonds_at_construction(factors, cap, gauge):
    layer = mpo_of(factors, max_bond_dim=cap, gauge=gauge)
    assert layer.bond_dims == tuple(min(cap, bond) for bond in full_bond_dims(*factors))
    assert relative(layer.weight, oracle(list(layer.cores))) <= 1e-6


def test_a_larger_product_is_padded_with_given_factors():
    linear = nn.Linear(397, 6)
    layer = MPOLinear.from_linear(linear, num_cores=3, in_factors=(8, 10, 5), out_factors=(1, 3, 2), pad=True)
    assert layer.in_features == 397 and math.prod(layer.in_factors) == 400
    assert relative(layer.weight, linear.weight) <= 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(in_factors=(3, 4, 2)), r"in_factors \(3, 4, 2\) multiply to 24, but in_features is 12"),
        (dict(in_factors=(3, 4), out_factors=(2, 3, 2)), "has 2 entries, but num_cores is 3"),
        (dict(max_bond_dim=(2, 200)), "bond 2 has dimension 200"),
    ],
)
def test_constructor_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MPOLinear(12, 12, num_cores=3, **arguments)


def test_a_shape_resolves_to_factors_and_bonds():
    assert MPOShape().resolve(768, 300) == ((3, 4, 4, 4, 4), (2, 3, 5, 5, 2), (6, 72, 160, 8))
    capped = MPOShape(num_cores=3, in_factors=(2, 3, 2), out_factors=(3, 2, 2), max_bond_dim=4)
    assert capped.resolve(12, 12) == ((2, 3, 2), (3, 2, 2), (4, 4))
    assert math.prod(MPOShape(pad=True).resolve(397, 300)[0]) == 400


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3, 5]), st.sampled_from([None, 1, 5]))
def test_a_layer_has_what_its_shape_resolves_to(in_features, out_features, n, cap):
    shape = MPOShape(num_cores=n, max_bond_dim=cap)
    layer = MPOLinear(in_features, out_features, shape=shape, device="meta")
    assert (layer.in_factors, layer.out_factors, layer.bond_dims) == shape.resolve(in_features, out_features)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (MPOShape(num_cores=0), "into 0 factors"),
        (MPOShape(out_factors=(1, 1, 1, 2, 3)), r"out_factors \(1, 1, 1, 2, 3\) multiply to 6, but out_features is 12"),
        (MPOShape(max_bond_dim=0), "max_bond_dim must be at least 1, got 0"),
        (MPOShape(gauge="left"), "gauge must be one of central, symmetric, identity; got 'left'"),
        (MPOShape(gauge="identity", max_bond_dim=1), "gauge 'identity' needs the full bonds"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_when_the_sizes_are_known(shape, message):
    with pytest.raises(ValueError, match=message):
        shape.resolve(12, 12)


def test_a_shape_is_a_value():
    with pytest.raises(AttributeError):
        MPOShape().num_cores = 3
    listed, given_as_tuples = ([2, 3, 2], [4, 4]), ((2, 3, 2), (4, 4))
    shapes = {MPOShape(3, factors, factors, bonds) for factors, bonds in (listed, given_as_tuples)}
    assert len(shapes) == 1


def test_a_shape_is_collected_from_keywords_or_given_whole():
    shape = MPOShape(num_cores=3, gauge="symmetric")
    assert MPOShape.collect(None, {"num_cores": 3, "gauge": "symmetric"}) == shape
    assert MPOShape.collect(shape, {}) is shape
    assert MPOShape.collect(None, {}) == MPOShape()


ENTRANCES = [
    lambda **keywords: MPOLinear(12, 12, **keywords),
    lambda **keywords: MPOLinear.from_linear(nn.Linear(12, 12), **keywords),
    lambda **keywords: convert_to_mpo(nn.Sequential(nn.Linear(12, 12)), "0", **keywords)[0],
]


@pytest.mark.parametrize("enter", ENTRANCES, ids=["constructor", "from_linear", "convert_to_mpo"])
def test_every_entrance_takes_keywords_or_a_shape(enter):
    torch.manual_seed(0)
    by_keywords = enter(num_cores=3, gauge="symmetric", max_bond_dim=4)
    torch.manual_seed(0)
    whole = enter(shape=MPOShape(num_cores=3, gauge="symmetric", max_bond_dim=4))
    assert by_keywords.gauge == whole.gauge == "symmetric" and by_keywords.bond_dims == whole.bond_dims == (4, 4)
    assert all(torch.equal(a, b) for a, b in zip(by_keywords.cores, whole.cores, strict=True))
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_core'"):
        enter(num_core=3)
    with pytest.raises(TypeError, match="gauge, pad belong in the MPOShape when shape= is given"):
        enter(shape=MPOShape(), gauge="central", pad=False)
    with pytest.raises(TypeError, match="shape must be an MPOShape, got tuple"):
        enter(shape=(3, 4))
