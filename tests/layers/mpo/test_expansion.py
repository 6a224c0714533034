"""Expansion cores: the weight stays, the parameters grow by t d^2, and they fold back.

Legend: an expansion core is (d, 1, 1, d) with d the dimension of its bond.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, mpo_of, oracle, relative, shuffle_cores

from recbole_mpo.layers.mpo import MPOLinear
from recbole_mpo.layers.mpo.expansion import choose_bond


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
    with pytest.raises(ValueError, match="are on bond 2 already"):
        layer.expand(1, bond=1)
    with pytest.raises(ValueError, match="single core has no bond"):
        MPOLinear(4, 4, num_cores=1).expand(1)


@pytest.mark.parametrize(
    ("bond_dims", "bond"),
    [((5,), 1), ((6, 4), 2), ((4, 6), 1), ((4, 4), 1), ((2, 9, 7, 3), 3), ((2, 7, 9, 3), 2), ((2, 9, 9, 3), 2)],
)
def test_the_bond_is_the_smaller_one_of_the_central_core(bond_dims, bond):
    assert choose_bond(bond_dims, None, occupied=0) == bond


@pytest.mark.parametrize("bond", [1, 2, 3, 4])
def test_folding_changes_one_core_at_the_bond_and_never_the_central_one(bond):
    """The central core may be frozen."""
    layer = shuffle_cores(MPOLinear(48, 36, num_cores=5))
    layer.expand(2, init="orthogonal", bond=bond)
    shuffle_cores(layer, seed=2)
    before = [core.detach().clone() for core in layer.cores]
    layer.fold_expansion()
    changed = [k for k, core in enumerate(layer.cores) if not torch.equal(core, before[k])]
    assert changed == [bond - 1 if bond <= 2 else bond]
