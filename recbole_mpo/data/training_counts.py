"""Counts of items and of neighbouring pairs in training histories.

Shapes: N items (0 is PAD), I interactions, P pairs.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from recbole_mpo.data.sequences import Rows

# Items at distance d in a history count this much to the power of d - 1.
DISTANCE_DECAY = 0.5


@dataclass(frozen=True)
class Pairs:
    """Pairs of items in training histories, each array [P].

    Attributes:
        before, after: the items, in the order of the history.
        distances: how many places the second is after the first.
        users: whose history it is, an internal id.
    """

    before: np.ndarray
    after: np.ndarray
    distances: np.ndarray
    users: np.ndarray

    def __len__(self) -> int:
        return len(self.before)

    def __getitem__(self, chosen: np.ndarray) -> "Pairs":
        return Pairs(self.before[chosen], self.after[chosen], self.distances[chosen], self.users[chosen])

    def neighbours(self, item_num: int) -> sparse.csr_matrix:
        """Return counts of pairs in both directions [N, N], nearer pairs counting more; (x, x) counts twice."""
        weights = DISTANCE_DECAY ** (self.distances - 1.0)
        counts = sparse.coo_matrix((weights, (self.before, self.after)), shape=(item_num, item_num)).tocsr()
        return (counts + counts.T).tocsr()


def training_pairs(train, window: int = 1, without_last: bool = False) -> Pairs:
    """Return the pairs of items at most ``window`` places apart in training histories; each pair of places once.

    Args:
        train: training part of a packed dataset.
        window: the largest distance.
        without_last: whether to leave out the last target of each user, as if it had not happened yet.
    """
    rows = train.rows()
    if without_last:
        is_last = rows.are_last()
        rows = Rows(rows.users, rows.ends - is_last, rows.lengths - is_last)
        rows = rows[rows.lengths > 0]
    # A pair of neighbours begins at each position of a row except the last.
    begins = _covered(len(train.flat_items), rows.ends - rows.lengths, rows.ends)
    users = _users_at(rows, begins + 1)
    goes_on = np.zeros(len(train.flat_items) + window, dtype=bool)
    goes_on[begins] = True
    parts = []
    for distance in range(1, window + 1):
        parts.append(
            Pairs(train.flat_items[begins], train.flat_items[begins + distance], np.full(len(begins), distance), users)
        )
        stays = goes_on[begins + distance]
        begins, users = begins[stays], users[stays]
    return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in Pairs.__annotations__))


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
    places = _covered(len(train.flat_items), rows.ends - rows.lengths, rows.ends + 1)
    return _users_at(rows, places), train.flat_items[places]


def training_transitions(train) -> sparse.csr_matrix:
    """Count how often item j follows item i in training histories, [N, N]; each position of a history counts once."""
    pairs = training_pairs(train)
    return pair_counts(pairs.before, pairs.after, train.item_num)


def _users_at(rows: Rows, places: np.ndarray) -> np.ndarray:
    """Return the user of each position that the rows cover: that of the first row that ends there or later."""
    order = np.argsort(rows.ends)
    return rows.users[order][np.searchsorted(rows.ends[order], places)]


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
