"""A part of the users, for training on less data: how much does a model need?

Shapes: R rows.
"""

import numpy as np

# Which users are chosen does not depend on the seed of a run, so that runs can be compared.
CHOICE_SEED = 0


def rows_of_share(users_R: np.ndarray, share: float) -> np.ndarray:
    """Return the numbers of the rows of a share of the users, in ascending order.

    A smaller share is part of a larger one.

    Args:
        users_R: the user of each row.
        share: share of the users, above 0 and at most 1; one user is chosen at least.
    """
    users = np.unique(users_R)
    count = max(1, round(share * len(users)))
    chosen = np.random.default_rng(CHOICE_SEED).permutation(users)[:count]
    return np.flatnonzero(np.isin(users_R, chosen))
