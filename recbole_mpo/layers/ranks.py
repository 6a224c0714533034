"""Several processes that train one model together, as one of them sees the others.

Each process computes a part of every batch and of the item vectors. Its loss is its part of a mean over the whole
batch, so that the sum of the gradients of all processes is the gradient of that mean.

Shapes: n_k rows of process k, n rows of all; other axes are arbitrary.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


class Ranks:
    """The place of this process among those of a job.

    Args:
        number: number of this process, from 0; the first one writes all files.
        count: how many there are. With one, nothing here communicates.
    """

    def __init__(self, number: int = 0, count: int = 1):
        self.number, self.count = number, count

    @property
    def is_first(self) -> bool:
        """Return whether this is the process that writes files and speaks."""
        return self.number == 0

    def share(self, length: int) -> slice:
        """Return this process's part of so many rows; the parts follow one another, and differ by one at most."""
        return slice(length * self.number // self.count, length * (self.number + 1) // self.count)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows [n, ...] of all processes, one process after another, from this one's [n_k, ...].

        The backward pass adds up the gradients of all processes.
        """
        return rows if self.count == 1 else _Gather.apply(rows, self.number, self.count)

    def rows_before(self, rows: int) -> int:
        """Return how many rows the processes before this one have, which has so many."""
        if self.count == 1:
            return 0
        counts = torch.zeros(self.count, dtype=torch.int64)
        counts[self.number] = rows
        return int(self.sum(counts)[: self.number].sum())

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes, without gradient."""
        values = values.detach().clone()
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def of_first(self, values: Tensor) -> Tensor:
        """Return the first process's values of a tensor that has the same shape in all."""
        if self.count > 1:
            dist.broadcast(values, src=0)
        return values

    def part_of_mean(self, mean: Tensor, rows: int) -> Tensor:
        """Return this process's part of the mean over the rows of all processes.

        Args:
            mean: mean over the rows of this process, anything finite if it has none.
            rows: how many it has.
        """
        if self.count == 1:
            return mean
        total = float(self.sum(torch.tensor(float(rows), dtype=torch.float64)))
        return mean * (rows / max(total, 1.0))

    def wait(self):
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


ALONE = Ranks()
"""A process without others."""


class _Gather(torch.autograd.Function):
    """Concatenates the rows of all processes, which may differ in number."""

    @staticmethod
    def forward(ctx, rows, number, count):
        lengths = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(count)]
        dist.all_gather(lengths, torch.tensor([len(rows)], device=rows.device))
        lengths = [int(length) for length in lengths]
        # Not all backends gather tensors of different sizes.
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(count)]
        dist.all_gather(parts, padded)
        begin = sum(lengths[:number])
        ctx.own = slice(begin, begin + len(rows))
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[ctx.own], None, None
