"""Decompose a dense matrix into MPO cores, in float64, with fixed signs and in one of several gauges.

Legend: n cores; core k is (r, i, o, s), r and s bond dimensions; i, o input and output factors;
W (O, I) as ``nn.Linear`` stores it; ``tensor`` is W as (i_0, o_0, i_1, o_1, ...).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_mpo.layers.mpo.factors import core_shapes, full_bond_dims, parameter_counts

GAUGES = ("central", "symmetric", "identity")
"""How the weight is distributed over the cores: most of it in the central core, evenly, or all of it in one core."""

# The symmetric gauge divides by roots of singular values, which are 0 in zero and padded weights. It uses at least this
# share of the largest one.
SYMMETRIC_FLOOR = 1e-6


def check_gauge(gauge: str, in_factors: Sequence[int], out_factors: Sequence[int], bond_dims: Sequence[int]) -> None:
    """Check that a gauge exists and is possible with these bonds.

    Raises:
        ValueError: the gauge is unknown, or needs larger bonds.
    """
    if gauge not in GAUGES:
        raise ValueError(f"gauge must be one of {', '.join(GAUGES)}; got {gauge!r}")
    full = full_bond_dims(in_factors, out_factors)
    if gauge == "identity" and tuple(bond_dims) != full:
        raise ValueError(f"gauge 'identity' needs the full bonds {full}, got {tuple(bond_dims)}")


@torch.no_grad()
def to_tensor(weight: Tensor, in_factors: Sequence[int], out_factors: Sequence[int]) -> Tensor:
    """Return W (O, I) as a float64 CPU tensor (i_0, o_0, i_1, o_1, ...), zero-padded up to the factors' products.

    It is on the CPU because the cores must not depend on the device, and MPS has no float64.

    Raises:
        ValueError: the weight is not finite.
    """
    if not torch.isfinite(weight).all():
        raise ValueError("cannot decompose a weight with NaN or infinite entries")
    dense = weight.detach().cpu().double()
    padding = (0, math.prod(in_factors) - dense.shape[1], 0, math.prod(out_factors) - dense.shape[0])
    n = len(in_factors)
    grid = torch.nn.functional.pad(dense, padding).t().reshape(*in_factors, *out_factors)
    return grid.permute([axis for k in range(n) for axis in (k, n + k)]).contiguous()


@torch.no_grad()
def decompose(
    weight: Tensor,
    in_factors: Sequence[int],
    out_factors: Sequence[int],
    bond_dims: Sequence[int],
    gauge: str = "central",
    bond_error: float = 0.0,
) -> list[Tensor]:
    """Return float64 cores (r, i, o, s) of W (O, I), eq. (1), with bonds of at most ``bond_dims``.

    Args:
        weight: W.
        in_factors: i of each core.
        out_factors: o of each core.
        bond_dims: largest dimension of each bond.
        gauge: ``central`` (all cores but the central one are orthogonal), ``symmetric`` (the roots of the singular
            values are on both sides of each bond), or ``identity`` (one core holds W bit for bit; full bonds only).
        bond_error: Frobenius norm that each bond may discard in addition.

    Raises:
        ValueError: the gauge is unknown or needs larger bonds, or the weight is not finite.
    """
    return decompose_with_errors(weight, in_factors, out_factors, bond_dims, gauge, bond_error)[0]


@torch.no_grad()
def decompose_with_errors(
    weight: Tensor,
    in_factors: Sequence[int],
    out_factors: Sequence[int],
    bond_dims: Sequence[int],
    gauge: str = "central",
    bond_error: float = 0.0,
) -> tuple[list[Tensor], list[float]]:
    """Return the cores that :func:`decompose` returns, and the norm that each of the n - 1 bonds discarded.

    The arguments, and what is refused, are those of :func:`decompose`.

    A bond is cut after the cores before it are orthogonal, so what the bonds discard is orthogonal too: the root of the
    sum of the squares of the norms is the error of the whole decomposition, not a bound of it.
    """
    check_gauge(gauge, in_factors, out_factors, bond_dims)
    tensor = to_tensor(weight, in_factors, out_factors)
    if gauge == "identity":
        return _identity_cores(tensor, in_factors, out_factors, bond_dims), [0.0] * len(bond_dims)
    n = len(in_factors)
    stop = n // 2 if gauge == "central" else n - 1
    bonds = list(bond_dims)
    left, scales, rest, left_errors = _sweep_left(tensor, in_factors, out_factors, bonds, stop, bond_error)
    right, rest, right_errors = _sweep_right(rest, in_factors, out_factors, bonds, stop, bond_error)
    last = rest.reshape(left[-1].shape[-1] if left else 1, in_factors[stop], out_factors[stop], -1)
    cores = [*left, last, *right]
    return cores if gauge == "central" else _spread(cores, scales), left_errors + right_errors


def _sweep_left(tensor, in_factors, out_factors, bonds, stop, bond_error):
    """Return cores 0..stop-1, which are orthogonal, their bonds' singular values, the tensor's rest, and the errors."""
    cores, scales, rest, r, errors = [], [], tensor, 1, []
    for k in range(stop):
        i, o = in_factors[k], out_factors[k]
        U, S, Vh, error = _split(rest.reshape(r * i * o, -1), bonds[k], bond_error)
        cores.append(U.reshape(r, i, o, -1))
        scales.append(S)
        errors.append(error)
        rest, r = S.unsqueeze(1) * Vh, len(S)
    return cores, scales, rest, errors


def _sweep_right(rest, in_factors, out_factors, bonds, stop, bond_error):
    """Return cores stop+1..n-1, which are orthogonal, the rest of the tensor, and the errors of their bonds."""
    cores, s, errors = [], 1, []
    for k in reversed(range(stop + 1, len(in_factors))):
        i, o = in_factors[k], out_factors[k]
        U, S, Vh, error = _split(rest.reshape(-1, i * o * s), bonds[k - 1], bond_error)
        cores.insert(0, Vh.reshape(-1, i, o, s))
        errors.insert(0, error)
        rest, s = U * S, len(S)
    return cores, rest, errors


def _split(matrix: Tensor, cap: int, bond_error: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return the thin SVD with at most ``cap`` terms, and the norm of the rest.

    There are fewer terms if the discarded norm is within ``bond_error``.
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    tails = S.square().flip(0).cumsum(0).flip(0).sqrt()
    needed = int((tails > bond_error).sum()) if bond_error > 0 else len(S)
    rank = max(1, min(cap, needed))
    error = float(S[rank:].norm())
    U, S, Vh = U[:, :rank], S[:rank], Vh[:rank]
    # An SVD does not fix the sign of each pair of vectors: make the largest entry of the left vector positive.
    largest = U.gather(0, U.abs().argmax(0, keepdim=True))
    signs = torch.where(largest < 0, -1.0, 1.0).to(U)
    return U * signs, S, Vh * signs.t(), error


def _spread(cores: list[Tensor], scales: list[Tensor]) -> list[Tensor]:
    """Return the cores with the root of each bond's singular values moved from the right of the bond to its left."""
    spread = list(cores)
    for k, S in enumerate(scales):
        root = S.clamp_min(SYMMETRIC_FLOOR * float(S[0])).sqrt() if S[0] > 0 else torch.ones_like(S)
        spread[k] = spread[k] * root
        spread[k + 1] = spread[k + 1] / root.reshape(-1, 1, 1, 1)
    return spread


def _identity_cores(tensor, in_factors, out_factors, bond_dims) -> list[Tensor]:
    shapes = core_shapes(in_factors, out_factors, bond_dims)
    # With full bonds one core has as many entries as W: bonds grow to the left of it and shrink to the right.
    counts = parameter_counts(in_factors, out_factors, bond_dims)
    holder = next(k for k, count in enumerate(counts) if count == tensor.numel())
    cores = []
    for k, (r, i, o, s) in enumerate(shapes):
        if k == holder:
            cores.append(tensor.reshape(r, i, o, s))
        else:
            side = r * i * o if k < holder else i * o * s
            cores.append(torch.eye(side, dtype=tensor.dtype).reshape(r, i, o, s))
    return cores
