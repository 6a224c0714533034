"""Dropout whose masks cost a tenth of ``F.dropout``'s on a CPU.

PyTorch draws one double per element there. Eight random bits decide as well where they give the rates of dropping and
of keeping to within half a percent of themselves (0.5 exactly, 0.2 as 51/256), else sixteen, which are off by at most
2**-17. Survivors are scaled by the rate as drawn, so the expectation is exact.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TOLERANCE = 0.005


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """Return ``x`` of any shape with entries zeroed at rate ``p`` and the rest scaled by ``1 / (1 - p)``.

    Draws from torch's global generator. Other devices than the CPU use ``F.dropout``.
    """
    if not training:
        return x
    dtype = torch.int8 if abs(round(256 * p) / 256 - p) <= _TOLERANCE * min(p, 1 - p) else torch.int16
    levels = 256 ** dtype.itemsize
    threshold = round(p * levels)
    if threshold == 0:
        return x
    if x.device.type != "cpu" or threshold >= levels:
        return F.dropout(x, p)
    # Compared straight into numbers: a product with them is several times faster than a choice by booleans.
    mask = torch.ge(_random(x.shape, dtype), threshold - levels // 2, out=torch.empty(x.shape, dtype=x.dtype))
    return x * mask.mul_(levels / (levels - threshold))


def _random(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Draw numbers of an integer type, each with equal probability."""
    count = shape.numel()
    words = torch.empty(-(-count * dtype.itemsize // 8), dtype=torch.int64).random_(-(2**63), None)
    return words.view(dtype)[:count].view(shape)


class Dropout(nn.Dropout):
    """``nn.Dropout`` with the masks of :func:`dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with entries dropped while training."""
        return dropout(x, self.p, self.training)


_FLOATS_PER_LINE = 16


def pad_rows(matrix: Tensor) -> Tensor:
    """Return ``matrix`` [..., rows, columns] with zero rows appended up to a multiple of 16 of them.

    As the second factor of a product ``x @ matrix.T`` it makes rows of the result whole cache lines.
    """
    return F.pad(matrix, (0, 0, 0, -matrix.shape[-2] % _FLOATS_PER_LINE))
