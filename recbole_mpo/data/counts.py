"""What is counted in training histories: items, and pairs of neighbours.

Shapes: N items (0 is PAD).
"""

import hashlib
import math

import numpy as np
from scipy import sparse

from recbole_mpo.errors import ConfigError


def training_popularity(train) -> np.ndarray:
    """How often each item occurs in training histories, int32 [N]."""
    users = train.inter_feat[train.uid_field].numpy()
    targets = train.inter_feat[train.iid_field].numpy()
    lengths = train.inter_feat[train.item_list_length_field].numpy()
    # What a user's shortest history holds is no target of that user's rows.
    order = np.lexsort((lengths, users))
    shortest = order[np.flatnonzero(np.diff(users[order], prepend=-1))]
    before = train[shortest][train.iid_field + train.config["LIST_SUFFIX"]].numpy()
    counts = np.bincount(targets, minlength=train.item_num) + np.bincount(before[before > 0], minlength=train.item_num)
    return counts.astype(np.int32)


def training_interactions(train) -> tuple[np.ndarray, np.ndarray]:
    """Users and items [I] of training histories; each place of a history comes once."""
    rows = train.rows()
    order = np.argsort(rows.ends)
    ends = rows.ends[order]
    change = np.zeros(len(train.flat_items) + 1, dtype=np.int64)
    np.add.at(change, ends - rows.lengths[order], 1)
    np.add.at(change, ends + 1, -1)
    places = np.flatnonzero(np.cumsum(change)[:-1] > 0)
    # A place belongs to the user of the first row that ends there or later.
    return rows.users[order][np.searchsorted(ends, places)], train.flat_items[places]


def training_transitions(train) -> sparse.csr_matrix:
    """How often item j follows item i in training histories, [N, N]; each place of a history counts once.

    Training rows of a packed data set are views into flat histories: a row that ends at e with l items before it shows
    the pairs that begin at e - l, ..., e - 1.
    """
    rows = train.rows()
    change = np.zeros(len(train.flat_items) + 1, dtype=np.int64)
    np.add.at(change, rows.ends - rows.lengths, 1)
    np.add.at(change, rows.ends, -1)
    begins = np.flatnonzero(np.cumsum(change)[:-1] > 0)
    before, after = train.flat_items[begins], train.flat_items[begins + 1]
    shape = (train.item_num, train.item_num)
    return sparse.coo_matrix((np.ones(len(begins)), (before, after)), shape=shape).tocsr()


def counts_hash(*tables) -> str:
    """Identifies what was counted: sha256 of arrays and sparse matrices."""
    digest = hashlib.sha256()
    for table in tables:
        parts = (table.indptr, table.indices, table.data) if sparse.issparse(table) else (table,)
        for part in parts:
            digest.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
    return digest.hexdigest()


def recent_weights(config) -> list[float]:
    """The setting ``recent_weights``, checked.

    Raises:
        ConfigError: no list of finite numbers from 0 on.
    """
    weights = config["recent_weights"]
    is_list = isinstance(weights, list) and weights
    if not is_list or not all(type(weight) in (int, float) and 0 <= weight < math.inf for weight in weights):
        raise ConfigError(f"recent_weights must be a list of numbers from 0 on, not {weights!r}")
    return [float(weight) for weight in weights]
