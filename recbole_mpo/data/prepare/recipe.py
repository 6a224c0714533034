"""From raw interactions to those of a dataset: which are dropped, and the order of the rest.

Shapes: I interactions, U users, N items.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.sequences import cut


@dataclass(frozen=True)
class Step:
    """How many interactions one step of a preparation kept and dropped."""

    what: str
    interactions: int
    dropped: int


@dataclass(frozen=True)
class Interactions:
    """Rows of (user, item, time), with users and items as indices into their tokens.

    Attributes:
        users, items: [I] indices.
        times: [I] int64 or float64.
        user_tokens, item_tokens: tokens of all users and items that were read, also of those without rows.
        steps: the steps of the preparation so far.
        remarks: sentences about what was read in another way than it is written.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_tokens: np.ndarray
    item_tokens: np.ndarray
    steps: tuple[Step, ...] = field(default=())
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)

    def where(self, stays: np.ndarray, what: str) -> "Interactions":
        """Return the rows for which ``stays`` [I] is true, and add a step that says ``what`` they are."""
        count = int(np.count_nonzero(stays))
        rows = {name: getattr(self, name)[stays] for name in ("users", "items", "times")}
        return replace(self, **rows, steps=(*self.steps, Step(what, count, len(self) - count)))

    def without_duplicates(self, *others: np.ndarray, what: str) -> "Interactions":
        """Keep the first of the rows that are equal in user, item, time and ``others``."""
        columns = [self.users, self.items, self.times, *others]
        return self.where(~pd.DataFrame(dict(enumerate(columns)), copy=False).duplicated().to_numpy(), what)

    def k_core(self, k: int) -> "Interactions":
        """Return the largest part in which each user and each item has at least ``k`` interactions."""
        stays = np.ones(len(self), dtype=bool)
        while True:
            rare = np.zeros(len(self), dtype=bool)
            for codes, count in ((self.users, len(self.user_tokens)), (self.items, len(self.item_tokens))):
                rare |= (np.bincount(codes[stays], minlength=count) < k)[codes]
            if not (rare & stays).any():
                counts = [[len(np.unique(codes[rows])) for codes in (self.users, self.items)] for rows in (..., stays)]
                return self.where(stays, core_step(k, *counts))
            stays &= ~rare

    def users_of_length(self, least: int) -> "Interactions":
        """Return the rows of users with at least ``least`` interactions."""
        is_long = np.bincount(self.users, minlength=len(self.user_tokens)) >= least
        return self.where(is_long[self.users], length_step(least))

    def in_order(self) -> "Interactions":
        """Sort by user in order of first appearance, then by time; rows with equal times keep their order."""
        users, first = pd.factorize(self.users)
        order = np.lexsort((self.times, users))
        items, item_numbers = pd.factorize(self.items[order])
        return replace(
            self,
            users=users[order],
            items=items,
            times=self.times[order],
            user_tokens=self.user_tokens[first],
            item_tokens=self.item_tokens[item_numbers],
        )

    def histories(self) -> list[np.ndarray]:
        """Return each user's items in order; the interactions must be sorted by :meth:`in_order`."""
        return cut(self.items, np.bincount(self.users, minlength=len(self.user_tokens)))


def core_step(k: int, before: list[int], after: list[int]) -> str:
    """Return what a k-core keeps, and how many users and items have no row in it, where not all have one.

    Args:
        k: the k.
        before, after: numbers of users and of items with a row.
    """
    parts = [
        f"{count - left:,} of {count:,} {name}"
        for count, left, name in zip(before, after, ("users", "items"), strict=True)
        if left < count
    ]
    left_out = f"; left out: {', '.join(parts)}" if parts else ""
    return f"{k}-core: users and items with at least {k} interactions each{left_out}"


def length_step(least: int) -> str:
    """Return what is left when users with few interactions are dropped."""
    return f"users with at least {least} interactions"


def refuse_nothing_left(before: int, recipe: "Recipe"):
    """Refuse a recipe that keeps none of the ``before`` interactions.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"none of the {before:,} interactions is left with k_core={recipe.k_core} and min_length={recipe.min_length}; "
        "give smaller values (--k_core=0 keeps users and items with few interactions)"
    )


class TokenNumbers:
    """Numbers tokens by first appearance, over several blocks of cells.

    Args:
        read: returns the token that a cell means.
    """

    def __init__(self, read: Callable = lambda token: token):
        self._numbers: dict[str, int] = {}
        self._read = read

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """Return each cell's index in :attr:`tokens`, int32, and add new tokens; None is a token too."""
        codes, tokens = pd.factorize(cells)
        # Absent cells have the code -1, which indexes the last number.
        absent = [None] if (codes < 0).any() else []
        meant = map(self._read, (*tokens, *absent))
        numbers = [self._numbers.setdefault(token, len(self._numbers)) for token in meant]
        return np.array(numbers, dtype=np.int32)[codes]

    @property
    def tokens(self) -> np.ndarray:
        """Return the tokens in the order of their numbers."""
        return np.array(list(self._numbers), dtype=object)


@dataclass(frozen=True)
class Recipe:
    """Chooses which interactions are kept.

    Attributes:
        k_core: minimum number of interactions per user and per item; 0 or 1 keeps all.
        min_length: minimum number of interactions per user after that.
        min_rating: smallest rating of an interaction, applied first; None keeps all, also those without a rating.
    """

    k_core: int = 5
    min_length: int = 3
    min_rating: float | None = None

    @property
    def drops_short_users(self) -> bool:
        """Return whether ``min_length`` drops users that the k-core keeps."""
        return self.min_length > max(1, self.k_core)

    def apply(self, interactions: Interactions) -> Interactions:
        """Return the interactions that the recipe keeps, in order.

        Raises:
            DataError: no interaction is left.
        """
        before = len(interactions)
        if self.k_core > 1:
            interactions = interactions.k_core(self.k_core)
        if self.drops_short_users:
            interactions = interactions.users_of_length(self.min_length)
        if not len(interactions):
            refuse_nothing_left(before, self)
        return interactions.in_order()
