"""The numbers with which papers describe a dataset."""

from dataclasses import dataclass

import numpy as np

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.item_text import is_missing


@dataclass(frozen=True)
class Statistics:
    """Statistics of a dataset, as in table 1 of the MPORec paper.

    Attributes:
        users, items, interactions: how many there are.
        mean_length: interactions per user.
        mean_words: words (separated by spaces) per text; None without texts.
        without_text: number of items without text; None without texts.
    """

    users: int
    items: int
    interactions: int
    mean_length: float
    mean_words: float | None
    without_text: int | None

    @classmethod
    def of(cls, users: int, items: int, interactions: int, texts: list[str] | None) -> "Statistics":
        """Return the statistics for these counts and the items' texts.

        Raises:
            DataError: there are no interactions.
        """
        if not interactions:
            raise DataError("the dataset has no interactions")
        words = [len(text.split()) for text in texts] if texts is not None else None
        return cls(
            users,
            items,
            interactions,
            interactions / users,
            float(np.mean(words)) if words else None,
            sum(map(is_missing, texts)) if texts is not None else None,
        )

    @property
    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of users, items and interactions."""
        return self.users, self.items, self.interactions

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        rows = [
            ("users", f"{self.users:,}"),
            ("items", f"{self.items:,}"),
            ("interactions", f"{self.interactions:,}"),
            ("interactions per user", f"{self.mean_length:.2f}"),
        ]
        if self.mean_words is not None:
            rows += [("words per text", f"{self.mean_words:.2f}"), ("items without text", f"{self.without_text:,}")]
        return rows
