"""Interactions on their way from raw rows to a data set: what is dropped, and in which order the rest stands.

Shapes: I interactions, U users, N items.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.sequences import cut


@dataclass(frozen=True)
class Step:
    """What one step of a preparation left."""

    what: str
    interactions: int
    dropped: int


@dataclass(frozen=True)
class Interactions:
    """Rows of (user, item, time); users and items as indices into their tokens.

    Attributes:
        users, items: [I].
        times: [I], int64 or float64.
        user_tokens, item_tokens: of all that were read, also those that no row has any more.
        steps: what happened so far.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_tokens: np.ndarray
    item_tokens: np.ndarray
    steps: tuple[Step, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.users)

    def keep(self, kept: np.ndarray, what: str) -> "Interactions":
        """The rows where ``kept`` [I] is true, and a note of ``what`` left the others out."""
        count = int(np.count_nonzero(kept))
        rows = {name: getattr(self, name)[kept] for name in ("users", "items", "times")}
        return replace(self, **rows, steps=(*self.steps, Step(what, count, len(self) - count)))

    def without_duplicates(self, *others: np.ndarray, what: str) -> "Interactions":
        """Of rows equal in user, item, time and ``others`` the first one stays."""
        columns = [self.users, self.items, self.times, *others]
        return self.keep(~pd.DataFrame(dict(enumerate(columns)), copy=False).duplicated().to_numpy(), what)

    def k_core(self, k: int) -> "Interactions":
        """The largest part in which every user and every item has at least ``k`` interactions."""
        kept = np.ones(len(self), dtype=bool)
        while True:
            rare = np.zeros(len(self), dtype=bool)
            for codes, count in ((self.users, len(self.user_tokens)), (self.items, len(self.item_tokens))):
                rare |= (np.bincount(codes[kept], minlength=count) < k)[codes]
            if not (rare & kept).any():
                return self.keep(kept, f"{k}-core: users and items with at least {k} interactions each")
            kept &= ~rare

    def users_of_length(self, least: int) -> "Interactions":
        """Users with at least ``least`` interactions."""
        kept = (np.bincount(self.users, minlength=len(self.user_tokens)) >= least)[self.users]
        return self.keep(kept, f"users with at least {least} interactions")

    def in_order(self) -> "Interactions":
        """By user in order of first appearance, then by time; equal times stay in the order they were read in."""
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
        """Each user's items in order; of interactions that are :meth:`in_order`."""
        return cut(self.items, np.bincount(self.users, minlength=len(self.user_tokens)))


class TokenNumbers:
    """Numbers tokens by first appearance, block after block."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """int32 index of each cell among :attr:`tokens`, which grow."""
        codes, tokens = pd.factorize(cells)
        numbers = [self._numbers.setdefault(token, len(self._numbers)) for token in tokens]
        return np.array(numbers, dtype=np.int32)[codes]

    @property
    def tokens(self) -> np.ndarray:
        """The tokens in the order of their numbers."""
        return np.array(list(self._numbers), dtype=object)


@dataclass(frozen=True)
class Recipe:
    """Which interactions stay.

    Attributes:
        k_core: least interactions of a user and of an item; 0 or 1 keeps all.
        min_length: least interactions of a user, after that.
    """

    k_core: int = 5
    min_length: int = 3

    def apply(self, interactions: Interactions) -> Interactions:
        """What the recipe keeps, in order.

        Raises:
            DataError: nothing is left.
        """
        before = len(interactions)
        if self.k_core > 1:
            interactions = interactions.k_core(self.k_core)
        if self.min_length > max(1, self.k_core):
            interactions = interactions.users_of_length(self.min_length)
        if not len(interactions):
            raise DataError(
                f"of {before:,} interactions none is left by k_core={self.k_core} and min_length={self.min_length}; "
                "give smaller ones (--k_core=0 keeps users and items with few interactions)"
            )
        return interactions.in_order()
