"""Counts of items and of neighbouring pairs in training histories.

Shapes: N items (0 is PAD), I interactions, P pairs.
"""

import hashlib

import numpy as np
from scipy import sparse


def training_popularity(train) -> np.ndarray:
    """Count each item in the training histories, int32 [N]."""
    if len(train.inter_feat) == 0:  # a catalogue has no histories
        return np.zeros(train.item_num, dtype=np.int32)
    users = train.inter_feat[train.uid_field].numpy()
    targets = train.inter_feat[train.iid_field].numpy()
    lengths = train.inter_feat[train.item_list_length_field].numpy()
    # The items of a user's shortest history are not targets of any row, so they are added.
    order = np.lexsort((lengths, users))
    shortest = order[np.flatnonzero(np.diff(users[order], prepend=-1))]
    before = train[shortest][train.iid_field + train.config["LIST_SUFFIX"]].numpy()
    counts = np.bincount(targets, minlength=train.item_num) + np.bincount(before[before > 0], minlength=train.item_num)
    return counts.astype(np.int32)


def training_interactions(train) -> tuple[np.ndarray, np.ndarray]:
    """Return the users and items [I] of the training histories, each position of a history once.

    Training rows of a packed dataset are views into flat histories: a row that ends at e with l items before it covers
    the positions e - l, ..., e.
    """
    rows = train.rows()
    order = np.argsort(rows.ends)
    ends = rows.ends[order]
    places = _covered(len(train.flat_items), ends - rows.lengths[order], ends + 1)
    # A position belongs to the user of the first row that ends there or later.
    return rows.users[order][np.searchsorted(ends, places)], train.flat_items[places]


def training_transitions(train) -> sparse.csr_matrix:
    """Count how often item j follows item i in training histories, [N, N]; each position of a history counts once."""
    rows = train.rows()
    # A pair begins at each position of a row except the last.
    begins = _covered(len(train.flat_items), rows.ends - rows.lengths, rows.ends)
    return pair_counts(train.flat_items[begins], train.flat_items[begins + 1], train.item_num)


def _covered(size: int, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return which positions below ``size`` are in at least one of the ranges [begin, end), in ascending order."""
    change = np.zeros(size + 1, dtype=np.int64)
    np.add.at(change, begins, 1)
    np.add.at(change, ends, -1)
    return np.flatnonzero(np.cumsum(change)[:-1] > 0)


def pair_counts(before: np.ndarray, after: np.ndarray, item_num: int) -> sparse.csr_matrix:
    """Count the pairs (``before[p]``, ``after[p]``) of items, as a matrix [N, N]."""
    return sparse.coo_matrix((np.ones(len(before)), (before, after)), shape=(item_num, item_num)).tocsr()


def counts_hash(*tables) -> str:
    """Return the sha256 of count tables: arrays or sparse matrices."""
    digest = hashlib.sha256()
    for table in tables:
        arrays = (table.indptr, table.indices, table.data) if sparse.issparse(table) else (table,)
        for array in arrays:
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()
