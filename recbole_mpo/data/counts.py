"""What is counted in training histories: items, and pairs of neighbours.

Shapes: N items (0 is PAD).
"""

import numpy as np
from scipy import sparse


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


def training_transitions(train) -> sparse.csr_matrix:
    """How often item j follows item i in training histories, [N, N].

    Each training row of a packed data set is a view that ends in its target, so every neighbouring pair of a
    history is the end of one row.
    """
    ends = train.rows().ends
    before, after = train.flat_items[ends - 1], train.flat_items[ends]
    shape = (train.item_num, train.item_num)
    return sparse.coo_matrix((np.ones(len(ends)), (before, after)), shape=shape).tocsr()
