"""Which weights an adapter stores: those that differ in a bit from the base and from what follows from it."""

import pytest
import torch

from recbole_mpo.layers.mpo.linear import MPOLinear
from recbole_mpo.release.adapter_parts import (
    decomposed,
    layer_shapes,
    same_bits,
    split_weights,
    tensor_hash,
    using_threads,
)


def test_same_bits_is_stricter_than_equality():
    assert same_bits(torch.tensor([0.0, torch.nan]), torch.tensor([0.0, torch.nan]))
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.zeros(2), torch.zeros(2, 1))
    assert not same_bits(torch.zeros(2), torch.zeros(2, dtype=torch.float64))
    assert same_bits(torch.zeros(0), torch.zeros(0)) and same_bits(torch.ones(()), torch.ones(()))


def test_hashes_are_of_numbers_not_of_strides():
    matrix = torch.arange(6.0).reshape(2, 3)
    assert tensor_hash(matrix.t()) == tensor_hash(matrix.t().contiguous()) != tensor_hash(matrix)


@pytest.mark.parametrize("gauge", ["central", "symmetric", "identity"])
@pytest.mark.parametrize("sizes, pad", [((24, 20), False), ((23, 19), True)])
def test_cores_are_those_of_a_layer_that_loads_the_dense_weight(gauge, sizes, pad):
    dense = torch.nn.Linear(*sizes)
    layer = MPOLinear(*sizes, num_cores=3, gauge=gauge, pad=pad)
    layer.load_state_dict(dense.state_dict())
    weights = {f"a.lin.{name}": value for name, value in layer.state_dict().items()}
    base = {f"a.lin.{name}": value for name, value in dense.state_dict().items()}
    cores = decomposed(layer_shapes(weights, gauge), base, weights, torch.get_num_threads())
    assert cores.keys() == {f"a.lin.cores.{k}" for k in range(3)}
    assert all(same_bits(core, weights[name]) for name, core in cores.items())
    parts = split_weights(weights, base, gauge, [torch.get_num_threads()])
    assert (parts.stored, parts.from_base, parts.rebuilt) == ({}, ["a.lin.bias"], list(cores))


def test_one_changed_bit_is_stored_and_nothing_else():
    base = {"same": torch.ones(3), "changed": torch.ones(3), "gone": torch.ones(1)}
    weights = {
        "same": torch.ones(3),
        "changed": torch.nextafter(torch.ones(3), torch.full((3,), 2.0)),
        "new": torch.ones(1),
    }
    parts = split_weights(weights, base, None, [1])
    assert (list(parts.stored), parts.from_base, parts.rebuilt) == (["changed", "new"], ["same"], [])


def test_layers_that_the_base_lacks_or_that_do_not_fit_are_stored():
    layer = MPOLinear(24, 20, num_cores=3)
    weights = {f"a.{name}": value for name, value in layer.state_dict().items()}
    for base in ({}, {"a.weight": torch.ones(99, 24)}, {"a.weight": torch.ones(20)}):
        assert split_weights(weights, base, None, [1]).stored.keys() == weights.keys()
    # Cores of a layer whose bonds were reduced after it was loaded are not those of the decomposition.
    layer.truncate(max_bond_dim=2)
    weights = {f"a.{name}": value for name, value in layer.state_dict().items()}
    base = {"a.weight": torch.randn(20, 24)}
    assert split_weights(weights, base, None, [1]).stored.keys() == weights.keys()


def test_threads_are_as_before_after_the_block():
    before = torch.get_num_threads()
    with using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
