"""Expansion cores: square cores inserted on one bond, whose product is the identity at the start.

Legend: n cores; core k is (r, i, o, s), r and s bond dimensions; bond k lies between cores k-1 and k, the central core
is number n//2; an expansion core is (d, 1, 1, d) with d the dimension of its bond.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

EXPANSION_INITS = ("identity", "orthogonal")
"""How expansion cores start: each as the identity, or as rotations whose product is the identity."""


def check_expansion(t: int, init: str) -> None:
    """Check the number of expansion cores to insert and how they start.

    Raises:
        ValueError: ``t`` is below 1, or ``init`` is unknown.
    """
    if t < 1:
        raise ValueError(f"expand needs at least one core, got {t}")
    if init not in EXPANSION_INITS:
        raise ValueError(f"expansion init must be one of {', '.join(EXPANSION_INITS)}; got {init!r}")


def choose_bond(bond_dims: Sequence[int], bond: int | None, occupied: int) -> int:
    """Return the number of the bond for expansion cores.

    Args:
        bond_dims: d_1 .. d_{n-1}.
        bond: the bond chosen by the caller; when left out, the occupied one, or else the smaller bond of the central
            core.
        occupied: the bond that has expansion cores already; 0 if there are none.

    Raises:
        ValueError: the bond does not exist, or another bond is occupied.
    """
    if not bond_dims:
        raise ValueError("a single core has no bond to expand")
    if bond is None:
        bond = occupied or _smaller_central_bond(bond_dims)
    if not 1 <= bond <= len(bond_dims):
        raise ValueError(f"bond {bond} does not exist: there are bonds 1 to {len(bond_dims)}")
    if occupied and bond != occupied:
        raise ValueError(f"expansion cores are on bond {occupied} already: call fold_expansion() first")
    return bond


def _smaller_central_bond(bond_dims: Sequence[int]) -> int:
    central = (len(bond_dims) + 1) // 2
    bonds = [k for k in (central, central + 1) if 1 <= k <= len(bond_dims)]
    return min(bonds, key=lambda k: bond_dims[k - 1])


def expansion_cores(t: int, size: int, init: str) -> list[Tensor]:
    """Return t float64 cores (d, 1, 1, d), with d = ``size``, whose product is the identity.

    With ``identity`` each of them is the identity; with ``orthogonal`` rotations are drawn from the global generator.
    """
    eye = torch.eye(size, dtype=torch.float64)
    if init == "identity" or t < 2:
        matrices = [eye.clone() for _ in range(t)]
    else:
        matrices = [torch.linalg.qr(torch.randn_like(eye)).Q for _ in range(t - 1)]
        product = eye
        for rotation in matrices:
            product = product @ rotation
        matrices.append(product.t())
    return [matrix.reshape(size, 1, 1, size) for matrix in matrices]


@torch.no_grad()
def fold(cores: Sequence[Tensor], expansion: Sequence[Tensor], bond: int) -> tuple[int, Tensor]:
    """Return the number of the core that absorbs the expansion cores, and its new float64 values on the CPU.

    Of the two cores at the bond it is the one that is not central.
    """
    matrices = [core.cpu().double().squeeze(2).squeeze(1) for core in expansion]
    onto_left = bond <= len(cores) // 2
    index = bond - 1 if onto_left else bond
    folded = cores[index].cpu().double()
    for matrix in matrices if onto_left else reversed(matrices):
        folded = torch.tensordot(folded, matrix, 1) if onto_left else torch.tensordot(matrix, folded, 1)
    return index, folded
