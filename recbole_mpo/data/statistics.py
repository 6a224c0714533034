"""The numbers by which papers describe a dataset."""



from dataclasses import dataclass

import numpy as np

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.item_text import is_missing


@dataclass(frozen=True)
class Statistics:
    """A data set in the columns of the paper's table 1; text length in blank-separated words."""

    users: int
    items: int
    interactions: int
    mean_length: float
    mean_words: float | None
    without_text: int | None

    @property
    def counts(self) -> tuple[int, int, int]:
        """Users, items, interactions."""
        return self.users, self.items, self.interactions

    def rows(self) -> list[tuple[str, str]]:
        """What and how much, for a table."""
        rows = [
            ("users", f"{self.users:,}"),
            ("items", f"{self.items:,}"),
            ("interactions", f"{self.interactions:,}"),
            ("interactions a user", f"{self.mean_length:.2f}"),
        ]
        if self.mean_words is not None:
            rows += [("words a text", f"{self.mean_words:.2f}"), ("items without text", f"{self.without_text:,}")]
        return rows


def statistics(users: int, interactions: int, items: int, texts: list[str] | None) -> Statistics:
    """Of counts and of the items' texts."""
    if not interactions:
        raise DataError("the data set holds no interactions")
    words = [len(text.split()) for text in texts] if texts is not None else None
    return Statistics(
        users,
        items,
        interactions,
        interactions / users,
        float(np.mean(words)) if words else None,
        sum(map(is_missing, texts)) if texts is not None else None,
    )
