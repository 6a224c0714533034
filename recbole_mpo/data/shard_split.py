"""Leave-one-out of a shard, from the numbers of interactions of its users alone, in few bytes per user.

The last row of a user is for test, the one before it for valid, and at least one stays in training: RecBole's rule, as
recbole_mpo.data.sequences.leave_one_out has it.

Shapes: U users of a part, W windows, R rows, N items (0 is PAD).
"""

from collections.abc import Iterator

import numpy as np

from recbole_mpo.data.sequences import Rows, Windows, cut_runs
from recbole_mpo.data.shard_arrays import ShardArrays

# Users that are dealt with at a time, and interactions that are counted at a time.
USERS_AT_A_TIME, INTERACTIONS_AT_A_TIME = 1 << 18, 1 << 21
# Splits with one row of a user at most: how far its target is from the user's last one, and so the fewest interactions.
BEHIND = {"valid": 1, "test": 0}


def training_rows(sizes_U: np.ndarray) -> np.ndarray:
    """Return how many training rows users with so many interactions have, [U]."""
    rows = np.maximum(sizes_U - 1, 0)
    return rows - np.minimum(len(BEHIND), np.maximum(rows - 1, 0))


def training_windows(arrays: ShardArrays, max_length: int, is_chosen_U: np.ndarray | None = None) -> Windows:
    """Return the windows that recbole_mpo.data.sequences.training_windows makes of the training rows of a part.

    A window takes 12 bytes, unless a part has 2**32 interactions or histories of 2**16 items are read.

    Args:
        arrays: the part.
        max_length: how many of the newest items of a history a model sees.
        is_chosen_U: whether to train on each user; on all by default.
    """
    length = np.uint16 if max_length < 1 << 16 else np.int64
    kinds = (np.uint32 if len(arrays.items) < 1 << 32 else np.int64, length, length, np.int32)
    blocks = []
    for begin in range(0, len(arrays.users), USERS_AT_A_TIME):
        users = slice(begin, begin + USERS_AT_A_TIME)
        counts = training_rows(arrays.sizes_of(users))
        if is_chosen_U is not None:
            counts = np.where(is_chosen_U[users], counts, 0)
        some = np.flatnonzero(counts)
        runs = Windows(arrays.offsets[users][some], counts[some], counts[some], arrays.users[users][some])
        windows = cut_runs(runs, max_length)
        columns = (windows.starts, windows.lengths, windows.targets, windows.users)
        blocks.append([column.astype(kind) for column, kind in zip(columns, kinds, strict=True)])
    empty = [np.empty(0, kind) for kind in kinds]
    return Windows(*(np.concatenate(parts) for parts in zip(empty, *blocks, strict=True)))


def evaluated_rows(
    arrays: ShardArrays, split: str, max_length: int, is_chosen_U: np.ndarray | None = None
) -> Rows:
    """Return the rows of ``valid`` or ``test`` of a part, at most one per user; short histories come first.

    Args:
        arrays: the part.
        split: name of the split.
        max_length: how many of the newest items of a history a model sees.
        is_chosen_U: whether to evaluate each user; all by default.
    """
    sizes = arrays.sizes
    has_row = sizes >= 3 + BEHIND[split]
    chosen = np.flatnonzero(has_row if is_chosen_U is None else has_row & is_chosen_U)
    places = sizes[chosen] - 1 - BEHIND[split]
    rows = Rows(arrays.users[chosen].astype(np.int64), arrays.offsets[chosen] + places, np.minimum(places, max_length))
    return rows[np.argsort(rows.lengths, kind="stable")]


def training_counts(
    arrays: ShardArrays, item_num: int, is_chosen_U: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each item is a target of training, and how often it is in a training history, both [N].

    Args:
        arrays: the part.
        item_num: N.
        is_chosen_U: whether to train on each user; on all by default.
    """
    targets, firsts = np.zeros(item_num, np.int64), np.zeros(item_num, np.int64)
    for users in _blocks(arrays.offsets):
        counts = training_rows(arrays.sizes_of(users))
        if is_chosen_U is not None:
            counts = np.where(is_chosen_U[users], counts, 0)
        some = np.flatnonzero(counts)
        begin, end = arrays.offsets[users.start], arrays.offsets[users.stop]
        first = arrays.offsets[users][some] - begin
        # Each user's targets begin after the first item, and end before the items that are held out.
        change = np.zeros(end - begin + 2, np.int8)
        change[first + 1] += 1
        change[first + 1 + counts[some]] -= 1
        items = arrays.items[begin:end]
        targets += np.bincount(items[np.cumsum(change[:-2], dtype=np.int8) > 0], minlength=item_num)
        firsts += np.bincount(items[first], minlength=item_num)
    return targets, targets + firsts


def _blocks(offsets: np.ndarray) -> Iterator[slice]:
    """Yield ranges of users with few enough interactions together, or of one user."""
    begin, count = 0, len(offsets) - 1
    while begin < count:
        limit = offsets[begin] + INTERACTIONS_AT_A_TIME
        end = max(begin + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        yield slice(begin, end)
        begin = end
