"""Layers, random cores and an oracle for the tests of MPO layers.

Legend: core k is (r, i, o, s); W is (out, in) as ``nn.Linear`` stores it.
The oracle contracts left to right with tensordot, a different order and other primitives than the layer's.
"""

import math

import torch
from hypothesis import strategies as st
from torch import nn

from recbole_mpo.layers.mpo import MPOLinear


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


def relative(result, expected):
    result, expected = result.detach(), expected.detach()
    return float((result - expected).norm() / expected.norm().clamp_min(1e-300))
