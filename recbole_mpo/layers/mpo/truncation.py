"""Cut the bonds of an MPO matrix, and say what that cost (TT-SVD).

Legend: n cores; core k is (r, i, o, s), r and s bond dimensions; W (O, I) as ``nn.Linear`` stores it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_mpo.layers.mpo.contract import contract_cores
from recbole_mpo.layers.mpo.decompose import decompose, to_tensor


@dataclass(frozen=True)
class TruncationReport:
    """What a truncation cost: error and its a-priori bound (relative Frobenius), new bonds, core entries."""

    error: float
    bound: float
    bond_dims: tuple[int, ...]
    params: int


def check_limits(max_bond_dim: int | Sequence[int] | None, max_error: float | None) -> None:
    """Refuse a truncation without a limit or with two, and an error that is not a share of the weight's norm.

    Raises:
        ValueError: any of these.
    """
    if (max_bond_dim is None) == (max_error is None):
        raise ValueError("truncate takes exactly one of max_bond_dim and max_error")
    if max_error is not None and not 0 <= max_error < 1:
        raise ValueError(f"max_error is relative to the weight's norm: between 0 and 1, got {max_error}")


@torch.no_grad()
def truncated(
    weight: Tensor,
    in_factors: Sequence[int],
    out_factors: Sequence[int],
    bond_dims: Sequence[int],
    gauge: str,
    max_error: float,
) -> tuple[list[Tensor], TruncationReport]:
    """Return the cores of W (O, I) cut to ``bond_dims`` and to a relative error of ``max_error``, and what that cost.

    The largest of the bonds' discarded norms <= error <= the root of their summed squares (``bound``).
    """
    norm = float(weight.norm())
    share = max_error * norm / math.sqrt(max(1, len(bond_dims)))
    cores = decompose(weight, in_factors, out_factors, bond_dims, gauge, share)
    new_bonds = tuple(core.shape[3] for core in cores[:-1])
    discarded = discarded_norms(to_tensor(weight, in_factors, out_factors), new_bonds)
    report = TruncationReport(
        error=float((contract_cores(cores) - weight).norm()) / (norm or 1.0),
        bound=math.hypot(*discarded) / (norm or 1.0),
        bond_dims=new_bonds,
        params=sum(core.numel() for core in cores),
    )
    return cores, report


@torch.no_grad()
def discarded_norms(tensor: Tensor, bond_dims: Sequence[int]) -> list[float]:
    """Return for each bond the norm of the singular values of ``tensor``'s unfolding beyond its dimension.

    Args:
        tensor: W as :func:`to_tensor` gives it, (i_0, o_0, i_1, o_1, ...).
    """
    norms = []
    for k, bond in enumerate(bond_dims, start=1):
        rows = math.prod(tensor.shape[: 2 * k])
        values = torch.linalg.svdvals(tensor.reshape(rows, -1))
        norms.append(float(values[bond:].norm()))
    return norms
