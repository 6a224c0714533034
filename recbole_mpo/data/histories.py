"""Users' whole histories by token, read from either layout of a dataset.

Shapes: I interactions, U users, N items (without PAD).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.data.atomic_files import RECBOLE_FIELDS, Fields, find_layout
from recbole_mpo.data.atomic_reader import read_atomic
from recbole_mpo.data.sequences import flatten_rows, positions_within


@dataclass(frozen=True)
class Histories:
    """Interactions by user, each user's in order.

    Attributes:
        users, items: [I] indices into the tokens.
        times: [I], or the position in a history where the files hold no times.
        user_tokens: [U], in order of first appearance.
        item_tokens: [N], likewise.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_tokens: np.ndarray
    item_tokens: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """Interactions of each user, [U]."""
        return np.bincount(self.users, minlength=len(self.user_tokens))

    @cached_property
    def popularity(self) -> np.ndarray:
        """Interactions of each item, [N]."""
        return np.bincount(self.items, minlength=len(self.item_tokens))


def read_dataset_histories(data_path: str | Path, name: str, fields: Fields = RECBOLE_FIELDS) -> Histories:
    """Read all interactions of a dataset; what pre-split files say again and again is joined.

    Args:
        data_path, name: ``<data_path>/<name>/<name>*.inter``.
        fields: what the files call their columns.

    Raises:
        DataError: the dataset is missing or cannot be read; a column under another name is told with those there are
            and the settings that name them.
    """
    layout = find_layout(data_path, name)
    if layout.is_presplit:
        columns = (fields.user, fields.history, fields.item)
        return _from_rows([read_atomic(path, columns, fields)[0] for path in layout.files], fields)
    frame, _ = read_atomic(layout.files[0], (fields.user, fields.item, fields.time), fields)
    users, items, times = frame[fields.user].cat, frame[fields.item].cat, frame[fields.time].to_numpy()
    order = np.lexsort((times, users.codes.to_numpy()))
    return Histories(
        users.codes.to_numpy()[order].astype(np.int64),
        items.codes.to_numpy()[order].astype(np.int64),
        times[order],
        users.categories.to_numpy(),
        items.categories.to_numpy(),
    )


def _from_rows(frames: list[pd.DataFrame], fields: Fields) -> Histories:
    """Join the rows of train, valid and test."""
    splits = np.repeat(np.arange(len(frames)), list(map(len, frames)))
    users, user_tokens = pd.factorize(np.concatenate([frame[fields.user].astype(object) for frame in frames]))
    targets = np.concatenate([frame[fields.item].astype(object) for frame in frames])
    rows = np.concatenate([frame[fields.history].to_numpy() for frame in frames])
    order, items, ends = flatten_rows(users, splits, rows, targets)
    # A value belongs to the row whose target ends the run it stands in.
    row = np.searchsorted(ends, np.arange(len(items)))
    item_codes, item_tokens = pd.factorize(items)
    item_users = users[order][row]
    _, position = positions_within(np.bincount(item_users))
    return Histories(item_users, item_codes, position, user_tokens, item_tokens)
