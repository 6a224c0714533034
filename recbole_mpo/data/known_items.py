"""The items of each row's history, all of them: with ``eval_history: masked`` they are not candidates.

Shapes: I interactions, R rows of a dataset, B rows of a batch, P pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.data.sequences import flatten_rows, positions_within, rows_of_groups

# The field with each row's number in the whole dataset.
ROW_NUMBER = "row_number"


@dataclass(frozen=True)
class KnownItems:
    """What each row's user had before the target, however far back; a model sees only the newest of them.

    Attributes:
        values: [I] items of flat histories.
        begins, ends: [R, 2] the two ranges of ``values`` that hold a row's items; an item may be repeated.
    """

    values: np.ndarray
    begins: np.ndarray
    ends: np.ndarray

    @classmethod
    def of_users(cls, users: np.ndarray, items: np.ndarray) -> "KnownItems":
        """Return those of the rows that RecBole makes of interactions: user by user, without each user's first.

        Args:
            users, items: [I] in order of time.
        """
        order = np.argsort(users, kind="stable")
        targets, lengths = rows_of_groups(users[order], max_length=len(users))
        nothing = np.zeros_like(targets)
        return cls(items[order], np.stack((targets - lengths, nothing), 1), np.stack((targets, nothing), 1))

    @classmethod
    def of_rows(cls, users: np.ndarray, splits: np.ndarray, histories: np.ndarray, targets: np.ndarray) -> "KnownItems":
        """Return those of pre-split rows: all of the user's earlier splits, and the row's own history.

        Rows of one split may be alternatives (two targets after one history), so that a row knows of those of its own
        split only the ones that it continues.

        Args:
            users, splits: [R] user and split (train 0, valid 1, test 2) of each row.
            histories: [R] arrays of items.
            targets: [R] the item after each history.
        """
        order, values, stops = flatten_rows(users, splits, histories, targets)
        users, splits = users[order], splits[order]
        starts = np.concatenate(([0], stops[:-1] + 1))
        is_new_user = np.diff(users, prepend=-1) != 0
        of_user = _newest_start(starts, is_new_user)
        of_split = _newest_start(starts, is_new_user | (np.diff(splits, prepend=-1) != 0))
        # A row that continues the one before it adds only its target.
        of_run = np.maximum(of_split, _newest_start(starts, stops > starts))
        begins, ends = np.empty((2, len(order), 2), dtype=np.int64)
        begins[order] = np.stack((of_user, of_run), 1)
        ends[order] = np.stack((of_split, stops), 1)
        return cls(values, begins, ends)

    def pairs(self, interaction) -> tuple[Tensor, Tensor]:
        """Return rows and items [P] of a batch's distinct pairs of a row and an item of its history.

        Args:
            interaction: a batch of RecBole's rows with their numbers.
        """
        numbers = interaction[ROW_NUMBER]
        chosen = numbers.cpu().numpy()
        begins = self.begins[chosen].ravel()
        number, position = positions_within(self.ends[chosen].ravel() - begins)
        items = self.values[begins[number] + position]
        size = int(items.max(initial=0)) + 1
        pairs = np.unique(number // 2 * size + items)
        return tuple(torch.from_numpy(part).to(numbers.device) for part in np.divmod(pairs, size))


def _newest_start(starts: np.ndarray, opens: np.ndarray) -> np.ndarray:
    """Return for each row the start of the newest row up to it that opens something."""
    return np.maximum.accumulate(np.where(opens, starts, 0))
