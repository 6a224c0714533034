"""Contraction: equal to an independent oracle, with the gradients of the chain rule.

Legend: core k is (r, i, o, s); W is (out, in) as ``nn.Linear`` stores it.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.mpo.builders import factor_lists, mpo_of, oracle, shuffle_cores

from recbole_mpo.layers.mpo.contract import contract_cores
from recbole_mpo.layers.mpo.decompose import to_tensor


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


@settings(deadline=None, max_examples=20)
@given(factor_lists(), st.sampled_from([(4,), (2, 2)]))
def test_leading_axes_contract_as_each_entry_does(factors, axes):
    layers = [shuffle_cores(mpo_of(factors, torch.float64), seed=seed) for seed in range(4)]
    cores = [torch.stack(same).unflatten(0, axes) for same in zip(*(layer.cores for layer in layers), strict=True)]
    expected = torch.stack([oracle(layer.cores) for layer in layers]).unflatten(0, axes)
    torch.testing.assert_close(contract_cores(cores), expected, rtol=1e-10, atol=1e-10)


def test_half_precision_is_raised_before_the_contraction():
    layer = mpo_of(((3, 2, 4), (2, 4, 3)))
    layer.expand(1)
    cores, inserted = ([core.detach().half() for core in group] for group in (layer.cores, layer.expansion))
    weight = contract_cores(cores, inserted, layer.expansion_bond)
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, oracle([core.float() for core in cores]))
