"""Checkpoints that load into an MPO layer: MPO, dense, unexpanded and truncated ones, and those that do not fit."""

import math

import pytest
import torch
from layers.mpo.builders import linear_of, mpo_of, relative, shuffle_cores
from torch import nn

from recbole_mpo.layers.mpo import MPOLinear


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
        # Factors and outer bonds fit, but only one of the two inner bonds does.
        (
            {f"cores.{k}": torch.zeros(shape) for k, shape in enumerate(((1, 3, 2, 6), (5, 2, 4, 12), (12, 4, 3, 1)))},
            "do not fit",
        ),
        (mpo_of(((2, 3, 2, 2), (2, 3, 2, 2))).state_dict(), "do not fit"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_without_strict(state, message):
    with pytest.raises(RuntimeError, match=message):
        mpo_of(((3, 2, 4), (2, 4, 3))).load_state_dict(state, strict=False)


def test_an_expanded_checkpoint_needs_as_many_expansion_cores():
    expanded = mpo_of(((3, 2, 4), (2, 4, 3)))
    expanded.expand(2)
    with pytest.raises(RuntimeError, match=r"has 2 expansion cores, the layer has 0: call expand\(\) to match"):
        mpo_of(((3, 2, 4), (2, 4, 3))).load_state_dict(expanded.state_dict(), strict=False)
