"""Chooses which histories share a row or a group, so that little padding is computed.

Shapes: W windows, R rows.
"""

import numpy as np

# Share of padding in a group of rows of similar length. It gives six or seven groups per batch on Scientific; a step of
# RecBole's models takes the same time with 0.1 (ten groups) and more time from 0.3 up.
MAX_PADDING = 0.2


def first_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Place runs in rows of ``width`` by first-fit decreasing: the longest first, each in the first row with room.

    Args:
        lengths: [W] lengths of the runs, none above ``width``.

    Returns:
        The row and the column [W] at which each run begins.

    Source: Johnson, "Near-optimal bin packing algorithms", MIT 1973 (at most 11/9 of the smallest number of rows).
    """
    row, column = np.empty_like(lengths), np.empty_like(lengths)
    free = np.empty(0, dtype=lengths.dtype)
    for length in np.unique(lengths)[::-1]:
        runs = np.flatnonzero(lengths == length)
        slots = free // length
        missing = max(0, len(runs) - int(slots.sum()))
        added = -(-missing // (width // length))
        free = np.append(free, np.full(added, width))
        slots = free // length
        filled = np.cumsum(slots)
        number = np.arange(len(runs))
        chosen = np.searchsorted(filled, number, side="right")
        before = number - (filled - slots)[chosen]
        row[runs], column[runs] = chosen, width - free[chosen] + before * length
        free -= np.bincount(chosen, minlength=len(free)) * length
    return row, column


def similar_rows(lengths: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Group ``rows`` so that at most ``MAX_PADDING`` is padding if each group is as wide as its longest row.

    Args:
        lengths: lengths of all rows.
        rows: [R] numbers of the rows to group.
    """
    edges = bucket_edges(lengths[rows], MAX_PADDING)
    group = np.searchsorted(edges, lengths[rows])
    return [rows[group == number] for number in range(len(edges))]


def bucket_edges(lengths: np.ndarray, max_padding: float = 0.1) -> np.ndarray:
    """Return the fewest bucket sizes such that padding each length up to its bucket wastes at most ``max_padding``.

    The result is exact, by dynamic programming over the distinct lengths.

    Returns:
        Ascending sizes; the last is the largest length.
    """
    sizes, counts = np.unique(lengths, return_counts=True)
    total = int((sizes * counts).sum())
    ahead = np.concatenate(([0], np.cumsum(counts)))
    # cost[j] = positions after padding sizes[:j] with the buckets so far; edges are rebuilt from the choices
    cost = np.full(len(sizes) + 1, np.inf)
    cost[0] = 0
    choices: list[np.ndarray] = []
    while cost[-1] * (1 - max_padding) > total:
        steps = cost[:-1, None] + (ahead[None, 1:] - ahead[:-1, None]) * sizes[None, :]
        choices.append(steps.argmin(axis=0))
        cost = np.concatenate(([np.inf], steps.min(axis=0)))
    edges, end = [], len(sizes)
    for choice in reversed(choices):
        edges.append(sizes[end - 1])
        end = int(choice[end - 1])
    return np.array(edges[::-1], dtype=np.int64)
