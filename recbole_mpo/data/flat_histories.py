"""The training histories of RecBole's padded rows, flat as those of a packed dataset, so that pairs can be counted.

Shapes: R rows, I interactions, N items.
"""

import numpy as np
import pandas as pd
import torch

from recbole_mpo.data.sequences import Rows, cut, flatten_rows
from recbole_mpo.text.item_features import text_path
from recbole_mpo.text.item_text import texts_of


class FlatHistories:
    """A training part of RecBole's padded rows, with what evidence reads of a packed one.

    A user's rows are joined to one history where each continues the one before it.

    Args:
        train: training part of a dataset that RecBole builds.
    """

    def __init__(self, train):
        self._train = train
        self.iid_field: str = train.iid_field
        columns = (train.uid_field, train.iid_field, train.item_list_length_field)
        users, targets, lengths = (train.inter_feat[field].numpy() for field in columns)
        padded = train.inter_feat[train.iid_field + train.config["LIST_SUFFIX"]].numpy()
        is_item = np.arange(padded.shape[1]) < lengths[:, None]
        # A Series keeps histories of one length apart, which NumPy would make a matrix of.
        histories = pd.Series(cut(padded[is_item], lengths), dtype=object).to_numpy()
        order, self.flat_items, stops = flatten_rows(users, np.zeros(len(users), np.int64), histories, targets)
        ends = np.empty(len(users), dtype=np.int64)
        ends[order] = stops
        self._rows = Rows(users, ends, lengths)

    def rows(self) -> Rows:
        """Return the rows [R] as views into ``flat_items`` [I], in the order of the dataset."""
        return self._rows

    def num(self, field: str) -> int:
        """Return the number of values of a field, N for the item field."""
        return self._train.num(field)

    def item_texts(self) -> list[str]:
        """Return the texts [N] of the items, "" for PAD and for items without text.

        Raises:
            DataError: the dataset has no usable item text.
        """
        return texts_of(text_path(self._train.config), self._train.field2id_token[self.iid_field])

    @property
    def fitted_words(self) -> dict[str, torch.Tensor] | None:
        """Return what an earlier run fitted to the words of item texts; None in a new run."""
        return self._train.fitted_words
