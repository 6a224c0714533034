"""Contract the cores of an MPO matrix into the dense matrix, with any leading batch axes.

Legend: E leading axes (experts; may be absent); r, s bond dimensions; i, o input and output factors;
I, O products of several of them. Core k is (E, r, i, o, s); an expansion core is (E, r, 1, 1, r).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

HALF_TYPES = (torch.float16, torch.bfloat16)


def contract_cores(cores: Sequence[Tensor], expansion: Sequence[Tensor] = (), bond: int = 0) -> Tensor:
    """Return the dense matrix (E, O, I) of cores (E, r, i, o, s), eq. (1), transposed as ``nn.Linear`` stores it.

    The cores left and right of the central core C are contracted to small matrices A and B, and then A (C B) is
    computed. Half precision is converted to float32 and autocast is off, since rounding each core causes three times
    the error of rounding the result.

    Args:
        cores: n cores, from left to right.
        expansion: expansion cores on one bond.
        bond: number of that bond, between cores bond-1 and bond.
    """
    with _autocast_off(cores[0].device):
        cores = [core.float() if core.dtype in HALF_TYPES else core for core in cores]
        inserted = [core.float() if core.dtype in HALF_TYPES else core for core in expansion]
        inserted = [core.squeeze(-2).squeeze(-2) for core in inserted]
        centre = len(cores) // 2
        left = _left_block(cores[:centre], inserted if bond <= centre else [], bond - 1)
        right = _right_block(cores[centre + 1 :], inserted if bond > centre else [], bond - centre - 1)
        return _join(left, cores[centre], right)


def _autocast_off(device: torch.device) -> AbstractContextManager:
    # autocast does not support the meta device, on which layers are built before their weights exist.
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def _swap(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Return a tensor with its last ``len(order)`` axes permuted."""
    lead = tensor.dim() - len(order)
    return tensor.permute(*range(lead), *(lead + axis for axis in order))


def _left_block(cores: Sequence[Tensor], inserted: Sequence[Tensor], after: int) -> Tensor | None:
    """Return A (E, O, I, s): the cores, with the inserted matrices (E, s, s) to the right of core ``after``."""
    block = None
    for k, core in enumerate(cores):
        r, i, o, s = core.shape[-4:]
        if block is None:
            block = core.squeeze(-4).transpose(-3, -2)
        else:
            block_shape = block.shape[-3:-1]
            joined = block.flatten(-3, -2) @ core.flatten(-3)
            joined = _swap(joined.unflatten(-1, (i, o, s)).unflatten(-4, block_shape), (0, 3, 1, 2, 4))
            block = joined.flatten(-5, -4).flatten(-3, -2)
        if k == after:
            for matrix in inserted:
                block = (block.flatten(-3, -2) @ matrix).unflatten(-2, block.shape[-3:-1])
    return block


def _right_block(cores: Sequence[Tensor], inserted: Sequence[Tensor], before: int) -> Tensor | None:
    """Return B (E, r, O, I): the cores, with the inserted matrices (E, r, r) to the left of core ``before``."""
    block = None
    for k in reversed(range(len(cores))):
        core = cores[k]
        r, i, o, s = core.shape[-4:]
        if block is None:
            block = core.squeeze(-1).transpose(-2, -1)
        else:
            block_shape = block.shape[-2:]
            joined = core.flatten(-4, -2) @ block.flatten(-2)
            joined = _swap(joined.unflatten(-1, block_shape).unflatten(-3, (r, i, o)), (0, 2, 3, 1, 4))
            block = joined.flatten(-4, -3).flatten(-2)
        if k == before:
            for matrix in reversed(inserted):
                block = (matrix @ block.flatten(-2)).unflatten(-1, block.shape[-2:])
    return block


def _join(left: Tensor | None, core: Tensor, right: Tensor | None) -> Tensor:
    """Return A (C B) as (E, O, I); since A and B are in (O, I) order, the result is copied only once."""
    r, i, o, s = core.shape[-4:]
    right_block = (1, 1) if right is None else right.shape[-2:]
    left_block = (1, 1) if left is None else left.shape[-3:-1]
    joined = core.flatten(-4, -2)
    if right is not None:
        joined = joined @ right.flatten(-2)
    joined = joined.unflatten(-2, (r, i * o)).flatten(-2)
    if left is not None:
        joined = left.flatten(-3, -2) @ joined
    joined = joined.unflatten(-1, (i, o, *right_block)).unflatten(-5, left_block)
    return _swap(joined, (0, 3, 4, 1, 2, 5)).flatten(-3).flatten(-4, -2)
