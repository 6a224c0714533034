"""Whole histories of users, as tokens, read from either layout of a dataset.

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
    """Interactions sorted by user, and in order for each user.

    Attributes:
        users, items: [I] indices into the tokens.
        times: [I] times, or positions in the history if the files hold no times.
        user_tokens: [U] tokens in order of first appearance.
        item_tokens: [N] tokens in order of first appearance.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    user_tokens: np.ndarray
    item_tokens: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """Return the number of interactions of each user, [U]."""
        return np.bincount(self.users, minlength=len(self.user_tokens))

    @cached_property
    def popularity(self) -> np.ndarray:
        """Return the number of interactions of each item, [N]."""
        return np.bincount(self.items, minlength=len(self.item_tokens))


def read_dataset_histories(data_path: str | Path, name: str, fields: Fields = RECBOLE_FIELDS) -> Histories:
    """Read all interactions of a dataset; the overlapping histories of pre-split files are joined.

    Args:
        data_path, name: ``<data_path>/<name>/<name>*.inter``.
        fields: names of the files' columns.

    Raises:
        DataError: the dataset is missing or cannot be read; for a missing column the message lists the columns that
            exist and the settings that name columns.
    """
    layout = find_layout(data_path, name).as_text()
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
    """Return the histories for the rows of train, valid and test."""
    splits = np.repeat(np.arange(len(frames)), list(map(len, frames)))
    users, user_tokens = pd.factorize(np.concatenate([frame[fields.user].astype(object) for frame in frames]))
    targets = np.concatenate([frame[fields.item].astype(object) for frame in frames])
    rows = np.concatenate([frame[fields.history].to_numpy() for frame in frames])
    order, items, ends = flatten_rows(users, splits, rows, targets)
    # A value belongs to the first row whose target is at its index or later.
    row = np.searchsorted(ends, np.arange(len(items)))
    item_codes, item_tokens = pd.factorize(items)
    item_users = users[order][row]
    _, position = positions_within(np.bincount(item_users))
    return Histories(item_users, item_codes, position, user_tokens, item_tokens)
