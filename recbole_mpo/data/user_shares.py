"""A part of the users, for training on less data (how much does a model need?) and for evaluating others than these.

Shapes: R rows, U users.
"""

import math

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
    users_U = _in_random_order(users_R)
    return np.flatnonzero(np.isin(users_R, users_U[: max(1, round(share * len(users_U)))]))


def users_of_other_end(users_R: np.ndarray, share: float) -> np.ndarray:
    """Return the share of the users that :func:`rows_of_share` chooses last.

    None of them is among those it chooses for another share if both together are at most 1.

    Args:
        users_R: the user of each training row, the same as there.
        share: share of the users, above 0 and at most 1.

    Returns:
        The users, which may be none.
    """
    users_U = _in_random_order(users_R)
    # Rounded down, since the other share is rounded; a product such as 0.29 * 100 falls short of its whole number.
    return users_U[len(users_U) - math.floor(share * len(users_U) + 1e-9) :]


def _in_random_order(users_R: np.ndarray) -> np.ndarray:
    """Return the users [U], each once, in the order in which they are chosen."""
    return np.random.default_rng(CHOICE_SEED).permutation(np.unique(users_R))
