"""A table that grows by rows at its end without a copy of the whole each time.

Shapes: C rows, M further rows, D numbers per row.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

# Room for further rows that a copy gets, as a share of its rows and at least so many.
SPARE, LEAST_SPARE = 8, 1024


@dataclass
class _Buffer:
    """Rows with room after them, and how many are in use."""

    rows: Tensor
    used: int


@dataclass(frozen=True)
class GrowingRows:
    """The first ``count`` rows of a table; rows that are added to it later are after them, and change nothing.

    Attributes:
        count: C.
    """

    count: int
    _buffer: _Buffer = field(repr=False)

    @classmethod
    def of(cls, rows_CD: Tensor) -> "GrowingRows":
        """Return a table of these rows, which are not copied."""
        return cls(len(rows_CD), _Buffer(rows_CD, len(rows_CD)))

    @property
    def rows(self) -> Tensor:
        """The rows [C, D], which must not be changed."""
        return self._buffer.rows[: self.count]

    @torch.no_grad()
    def with_more(self, rows_MD: Tensor) -> "GrowingRows":
        """Return the table with further rows at its end; one table may grow at a time.

        Rows go where room was left for them. Where there is none, all are copied, with room for the next ones; so
        a table that grows row by row is copied a few times in all.
        """
        total, buffer = self.count + len(rows_MD), self._buffer
        if buffer.used != self.count or total > len(buffer.rows):
            room = total + max(total // SPARE, LEAST_SPARE)
            buffer = _Buffer(self.rows.new_empty(room, self.rows.shape[1]), self.count)
            buffer.rows[: self.count] = self.rows
        buffer.rows[self.count : total] = rows_MD
        buffer.used = total
        return GrowingRows(total, buffer)
