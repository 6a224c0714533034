"""Reduce the bonds of an MPO matrix by TT-SVD, and report the error.

Legend: n cores; core k is (r, i, o, s), r and s bond dimensions; W (O, I) as ``nn.Linear`` stores it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_mpo.layers.mpo.contract import contract_cores
from recbole_mpo.layers.mpo.decompose import decompose_with_errors, to_tensor


@dataclass(frozen=True)
class TruncationReport:
    """Result of a truncation.

    Attributes:
        error: error of the weight, relative to its Frobenius norm.
        bound: upper bound of the error, computed from the discarded singular values.
        bond_dims: dimensions of the n - 1 bonds.
        params: number of core entries.
        discarded: norm that each bond discarded in turn, relative to the weight's; the root of the sum of their squares
            is ``error``.
    """

    error: float
    bound: float
    bond_dims: tuple[int, ...]
    params: int
    discarded: tuple[float, ...]


def check_limits(max_bond_dim: int | Sequence[int] | None, max_error: float | None) -> None:
    """Check the limits of a truncation.

    Raises:
        ValueError: none or both are given, or ``max_error`` is not in [0, 1).
    """
    if (max_bond_dim is None) == (max_error is None):
        raise ValueError("truncate takes exactly one of max_bond_dim and max_error")
    if max_error is not None and not 0 <= max_error < 1:
        raise ValueError(f"max_error must be between 0 and 1, relative to the weight's norm; got {max_error}")


@torch.no_grad()
def truncated(
    weight: Tensor,
    in_factors: Sequence[int],
    out_factors: Sequence[int],
    bond_dims: Sequence[int],
    gauge: str,
    max_error: float,
) -> tuple[list[Tensor], TruncationReport]:
    """Return the cores of W (O, I), with bonds of at most ``bond_dims``, and a report.

    The error is at least the largest discarded norm of a bond, and at most the root of the sum of their squares.

    Args:
        weight: W.
        in_factors: i of each core.
        out_factors: o of each core.
        bond_dims: largest dimension of each bond.
        gauge: gauge of the cores.
        max_error: relative error by which bonds may be reduced further.
    """
    norm = float(weight.norm())
    share = max_error * norm / math.sqrt(max(1, len(bond_dims)))
    cores, swept = decompose_with_errors(weight, in_factors, out_factors, bond_dims, gauge, share)
    new_bonds = tuple(core.shape[3] for core in cores[:-1])
    discarded = discarded_norms(to_tensor(weight, in_factors, out_factors), new_bonds)
    report = TruncationReport(
        error=float((contract_cores(cores) - weight).norm()) / (norm or 1.0),
        bound=math.hypot(*discarded) / (norm or 1.0),
        bond_dims=new_bonds,
        params=sum(core.numel() for core in cores),
        discarded=tuple(error / (norm or 1.0) for error in swept),
    )
    return cores, report


@torch.no_grad()
def discarded_norms(tensor: Tensor, bond_dims: Sequence[int]) -> list[float]:
    """Return for each bond the norm of the singular values that its dimension leaves out.

    Args:
        tensor: W as (i_0, o_0, i_1, o_1, ...).
        bond_dims: dimension of each bond.
    """
    return [float(values[bond:].norm()) for values, bond in zip(bond_spectra(tensor), bond_dims, strict=True)]


@torch.no_grad()
def bond_spectra(tensor: Tensor) -> list[Tensor]:
    """Return for each of the n - 1 bonds the singular values of W as a matrix, cut at that bond, largest first.

    Args:
        tensor: W as (i_0, o_0, i_1, o_1, ...).
    """
    rows = [math.prod(tensor.shape[: 2 * k]) for k in range(1, tensor.dim() // 2)]
    return [torch.linalg.svdvals(tensor.reshape(count, -1)) for count in rows]


def entropy(values: Tensor) -> float:
    """Return the entanglement entropy of a bond in nats: that of the shares of its squared singular values.

    It is 0 where one value has all, and the logarithm of their number where all are equal: what is hard to truncate.

    Args:
        values: singular values of the bond.
    """
    shares = values.double().square()
    shares = shares / shares.sum().clamp_min(1e-300)
    return float(-torch.special.xlogy(shares, shares).sum())
