"""Sparse tables of pairs of items: neighbours in histories, walks of two steps, inner products.

Shapes: N items (0 is PAD), W columns of item vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Entries of a product held at once, about 200 MB.
MOST_ENTRIES = 1 << 24
# Neighbours of an item from which a walk of two steps goes on: the largest, so that popular items cost no more.
MOST_NEIGHBOURS = 1000


def largest_entries(matrix: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """Return a matrix with the ``most`` largest entries of each row; of equal entries, the first columns'."""
    matrix = matrix.sorted_indices()
    keep = np.ones(matrix.nnz, dtype=bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > most):
        place = slice(matrix.indptr[row], matrix.indptr[row + 1])
        values = matrix.data[place]
        smallest = np.partition(values, -most)[-most]
        stays = values > smallest
        stays[np.flatnonzero(values == smallest)[: most - int(stays.sum())]] = True
        keep[place] = stays
    starts = np.concatenate(([0], np.cumsum(keep)))[matrix.indptr]
    return sparse.csr_matrix((matrix.data[keep], matrix.indices[keep], starts), shape=matrix.shape)


@dataclass(frozen=True)
class Limits:
    """Which entries the rows of a table of largest entries have, by which the same can be found again later.

    Attributes:
        lowest: [N] the lowest entry of each row; 0 if the row has all of its entries.
        last: [N] the last column of such an entry: of equal ones the first columns are kept.
    """

    lowest: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, table: sparse.csr_matrix, most: int) -> "Limits":
        """Return the limits of a table of the ``most`` largest entries, which are positive."""
        lengths = np.diff(table.indptr)
        rows, is_full = np.repeat(np.arange(len(lengths)), lengths), lengths == most
        lowest = np.where(is_full, np.inf, 0.0)
        np.minimum.at(lowest, rows, table.data)
        is_lowest, last = table.data == lowest[rows], np.full(len(lengths), -1, dtype=np.int32)
        np.maximum.at(last, rows[is_lowest], table.indices[is_lowest])
        return cls(np.where(is_full, lowest, 0.0), last)

    def entries(self, part: sparse.csr_matrix, begin: int) -> sparse.csr_matrix:
        """Return the entries within the limits, of the rows from ``begin`` on."""
        row = np.repeat(begin + np.arange(part.shape[0]), np.diff(part.indptr))
        lowest = self.lowest[row]
        part.data[~((part.data > lowest) | ((part.data == lowest) & (part.indices <= self.last[row])))] = 0.0
        part.eliminate_zeros()
        return part


def two_steps(counts: sparse.csr_matrix, most: int | None = None) -> sparse.csr_matrix:
    """Return the probabilities [N, N] of a walk of two steps, where a step goes to a neighbour by its count.

    Args:
        counts: counts of neighbours [N, N].
        most: number of entries to keep per item, the largest; all when left out.
    """
    totals = np.asarray(counts.sum(axis=1)).ravel()
    step = (sparse.diags(1.0 / np.maximum(totals, 1e-12)) @ counts).tocsr()
    if most is None:
        return (step @ step).tocsr()
    step = largest_entries(step, MOST_NEIGHBOURS)
    return product_rows(step, step, most)


def similar_vectors(vectors_NW: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """Return the ``most`` largest inner products of each vector with others, [N, N]; a vector with itself counts 0."""
    return product_rows(vectors_NW, vectors_NW.T.tocsr(), most, itself=0)


def product_rows(
    left: sparse.csr_matrix,
    right: sparse.csr_matrix,
    most: int,
    itself: int | None = None,
    limits: Limits | None = None,
) -> sparse.csr_matrix:
    """Return ``left @ right`` with the largest entries of each row, a part of the rows at a time.

    Args:
        left, right: matrices.
        most: number of entries to keep per row.
        itself: the column that belongs to the first row, the next to the second, and so on, if these places count 0.
        limits: limits of the entries that are kept, if there are any.
    """
    parts = []
    for rows in _parts(left, right):
        part = (left[rows] @ right).tocsr()
        if itself is not None:
            row = np.repeat(itself + np.arange(rows.start, rows.start + part.shape[0]), np.diff(part.indptr))
            part.data[part.indices == row] = 0.0
            part.eliminate_zeros()
        if limits is not None:
            part = limits.entries(part, rows.start)
        parts.append(largest_entries(part, most))
    return sparse.vstack(parts, format="csr")


def _parts(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Iterator[slice]:
    """Yield ranges of rows of ``left``: one row, or more whose product with ``right`` has few enough entries."""
    reach = np.minimum(left.astype(bool).astype(np.int64) @ np.diff(right.indptr), right.shape[1])
    begin, ends = 0, np.cumsum(reach)
    while begin < left.shape[0]:
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + MOST_ENTRIES, side="right")))
        yield slice(begin, end)
        begin = end
