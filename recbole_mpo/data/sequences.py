"""Flat histories of users: one array of items, and rows or windows that are views into it.

Shapes: I interactions, R rows, S sequences, W windows, L the longest history a model sees.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Rows:
    """Evaluation or training rows as views: row r predicts ``values[ends[r]]`` from the items before it.

    Attributes:
        users: [R] internal user ids.
        ends: [R] index of the target in the flat values.
        lengths: [R] number of items before the target that form the history.
    """

    users: np.ndarray
    ends: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, chosen: np.ndarray) -> "Rows":
        return Rows(self.users[chosen], self.ends[chosen], self.lengths[chosen])

    def are_last(self) -> np.ndarray:
        """Return whether each row has the newest target of its user, [R]."""
        order = np.lexsort((self.ends, self.users))
        users = self.users[order]
        result = np.zeros(len(self), dtype=bool)
        result[order] = np.append(users[1:] != users[:-1], [True] * (len(self) > 0))
        return result


@dataclass(frozen=True)
class Windows:
    """Training windows: inputs ``values[starts : starts + lengths]``, whose last ``targets`` positions predict.

    Position p of a window predicts the value after it. Attributes are int64 arrays [W]; ``users`` are internal ids.
    """

    starts: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    users: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, chosen: np.ndarray) -> "Windows":
        return Windows(self.starts[chosen], self.lengths[chosen], self.targets[chosen], self.users[chosen])


def gather_padded(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return views as one matrix [R, max(lengths)], left-aligned and padded with 0."""
    columns = np.arange(int(lengths.max()) if len(lengths) else 0)
    inside = columns < lengths[:, None]
    index = np.where(inside, starts[:, None] + columns, 0)
    return np.where(inside, values[index], 0)


def lengths_of(sequences) -> np.ndarray:
    """Return the number of values of each sequence, [S]."""
    return np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))


def cut(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Cut values into views of these lengths [S], one after another; ``np.split`` takes three times as long."""
    ends = np.cumsum(lengths)
    return [values[begin:end] for begin, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


def positions_within(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each element's run and its position in the run, for runs of these lengths one after another."""
    run = np.repeat(np.arange(len(lengths)), lengths)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def rows_of_groups(groups: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and history lengths of flat sequences, one after another.

    Args:
        groups: [I] sequence number of each value, equal values adjacent.
        max_length: L.

    Returns:
        ``ends`` [R] (all values except the first of each sequence) and ``lengths`` [R], at most L.
    """
    index = np.arange(len(groups))
    is_first = np.ones(len(groups), dtype=bool)
    is_first[1:] = groups[1:] != groups[:-1]
    first = np.maximum.accumulate(np.where(is_first, index, 0))
    ends = index[~is_first]
    return ends, np.minimum(ends - first[ends], max_length)


def join_rows(users: np.ndarray, values: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join each row to the row before it if it continues that row, so that they share their items.

    A row continues another row of the same user if that row, including its target, ends with this row's history.

    Args:
        users: [R] users of the rows.
        values: each row's history and, after it, its target.
        lengths: [R] lengths of the histories.

    Returns:
        The joined values, and the index [R] of each row's target in them.
    """
    ends = np.cumsum(lengths + 1) - 1
    continues = np.zeros(len(users), dtype=bool)
    continues[1:] = (users[1:] == users[:-1]) & (lengths[1:] <= lengths[:-1] + 1)
    candidates = np.flatnonzero(continues)
    number, position = positions_within(lengths[candidates])
    row = candidates[number]
    differs = values[(ends - lengths)[row] + position] != values[ends[row - 1] + 1 - lengths[row] + position]
    continues[row[differs]] = False
    # If a row continues another, only its target is new.
    new = np.where(continues, 1, lengths + 1)
    row, position = positions_within(new)
    return values[(ends + 1 - new)[row] + position], np.cumsum(new) - 1


def row_order(users: np.ndarray, splits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the order in which pre-split rows continue one another: by user, split and history length.

    In files whose lengths mostly decrease, rows of equal length are taken in reverse.

    Args:
        users, splits: [R] user and split (train 0, valid 1, test 2) of each row.
        lengths: [R] lengths of the histories.
    """
    position = np.arange(len(users))
    steps = np.diff(lengths)[(users[1:] == users[:-1]) & (splits[1:] == splits[:-1])]
    counts_down = (steps < 0).sum() > (steps > 0).sum()
    return np.lexsort((-position if counts_down else position, lengths, splits, users))


def flatten_rows(
    users: np.ndarray, splits: np.ndarray, histories: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pre-split rows as flat histories; a row is joined to the row before it if it continues that row.

    Args:
        users, splits: [R] as for :func:`row_order`.
        histories: [R] arrays of items.
        targets: [R] the item after each history.

    Returns:
        The order [R] in which the rows were taken, the joined values, and in that order the index [R] of each target.
    """
    lengths = lengths_of(histories)
    order = row_order(users, splits, lengths)
    lengths = lengths[order]
    values = np.insert(np.concatenate(histories[order]), np.cumsum(lengths), targets[order])
    return order, *join_rows(users[order], values, lengths)


def leave_one_out(groups: np.ndarray, held_out: int) -> list[np.ndarray]:
    """Return the row numbers of ``held_out`` + 1 parts; each part except the first gets at most one row per group.

    The last row of a group goes to the last part, the one before it to the part before that, and so on; the first
    row always stays in the first part, which lists group after group in order of appearance. This is RecBole's rule.

    Args:
        groups: [R] group of each row, in any order.
        held_out: number of parts after the first.
    """
    group, _ = pd.factorize(groups)
    sizes = np.bincount(group)
    number, position = positions_within(sizes)
    after = sizes[number] - 1 - position
    part = np.where(after < np.minimum(held_out, sizes - 1)[number], held_out - after, 0)
    order = np.argsort(group, kind="stable")
    return [order[part == index] for index in range(held_out + 1)]


def training_windows(rows: Rows, max_length: int) -> Windows:
    """Return windows that predict each row's target exactly once.

    Neighbouring rows of one history share a window. If a run has more than L rows, its later windows start half a
    window back, so that each target keeps at least L/2 items of context.

    Args:
        rows: rows in any order.
        max_length: L.
    """
    order = np.argsort(rows.ends, kind="stable")
    users, ends, lengths = rows.users[order], rows.ends[order], rows.lengths[order]
    continues = np.zeros(len(ends), dtype=bool)
    continues[1:] = (
        (users[1:] == users[:-1])
        & (ends[1:] == ends[:-1] + 1)
        & (lengths[1:] == np.minimum(lengths[:-1] + 1, max_length))
    )
    run_starts = np.flatnonzero(~continues)
    first_targets = ends[run_starts]
    histories = lengths[run_starts]
    counts = np.diff(np.append(run_starts, len(ends)))
    runs = Windows(first_targets - histories, histories + counts - 1, counts, users[run_starts])
    return cut_runs(runs, max_length)


def cut_runs(runs: Windows, max_length: int) -> Windows:
    """Cut runs of more than ``max_length`` inputs into windows; the last ``targets`` positions of a run predict."""
    starts, lengths, targets = runs.starts, runs.lengths, runs.targets
    step = max(max_length // 2, 1)
    pieces = 1 + np.maximum(0, -(-(lengths - max_length) // step))
    run = np.repeat(np.arange(len(starts)), pieces)
    piece = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = piece * step
    end = np.minimum(start + max_length, lengths[run])
    predicted_before = np.where(piece == 0, lengths[run] - targets[run], start - step + max_length)
    predicts = end - np.maximum(predicted_before, start)
    useful = predicts > 0
    return Windows(starts[run] + start, end - start, predicts, runs.users[run])[useful]
