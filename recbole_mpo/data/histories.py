"""Users' whole histories by token, read from either layout of a data set.

Shapes: I interactions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.data.atomic_files import find_layout, read_atomic
from recbole_mpo.data.sequences import flatten_rows, positions_within

USER, ITEM, TIME = "user_id", "item_id", "timestamp"
HISTORY = "item_id_list"


@dataclass(frozen=True)
class Histories:
    """Interactions by user, each user's in order.

    Attributes:
        users, items: [I] indices into the tokens.
        times: [I], or the position in a history where the files hold no times.
        user_tokens, item_tokens: in order of first appearance.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_tokens: np.ndarray
    item_tokens: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Interactions of each user."""
        return np.bincount(self.users, minlength=len(self.user_tokens))

    @property
    def popularity(self) -> np.ndarray:
        """Interactions of each item."""
        return np.bincount(self.items, minlength=len(self.item_tokens))


def read_dataset_histories(data_path: str | Path, name: str) -> Histories:
    """All interactions of a data set; what pre-split files say again and again is joined.

    Raises:
        DataError: the data set is missing or cannot be read.
    """
    layout = find_layout(data_path, name)
    if layout.is_presplit:
        return _from_rows([read_atomic(path, (USER, HISTORY, ITEM))[0] for path in layout.files])
    frame, _ = read_atomic(layout.files[0], (USER, ITEM, TIME))
    users, items = frame[USER].cat, frame[ITEM].cat
    order = np.lexsort((frame[TIME].to_numpy(), users.codes.to_numpy()))
    return Histories(
        users.codes.to_numpy()[order].astype(np.int64),
        items.codes.to_numpy()[order].astype(np.int64),
        frame[TIME].to_numpy()[order],
        users.categories.to_numpy(),
        items.categories.to_numpy(),
    )


def _from_rows(parts: list[pd.DataFrame]) -> Histories:
    splits = np.repeat(np.arange(len(parts)), list(map(len, parts)))
    users, user_tokens = pd.factorize(np.concatenate([part[USER].astype(object) for part in parts]))
    targets = np.concatenate([part[ITEM].astype(object) for part in parts])
    rows = np.concatenate([part[HISTORY].to_numpy() for part in parts])
    order, joined, ends = flatten_rows(users, splits, rows, targets)
    # A value belongs to the row whose target ends the run it stands in.
    owner = np.searchsorted(ends, np.arange(len(joined)))
    item_codes, item_tokens = pd.factorize(joined)
    joined_users = users[order][owner]
    _, position = positions_within(np.bincount(joined_users))
    return Histories(joined_users, item_codes, position, user_tokens, item_tokens)
