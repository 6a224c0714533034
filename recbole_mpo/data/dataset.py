"""RecBole's sequential dataset, read in 64 bits, with flat histories and item text.

Shapes: I interactions, R rows.
"""

import numpy as np
import torch
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils.enum_type import FeatureSource, FeatureType

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.featured import FeaturedMixin
from recbole_mpo.data.reading import ReadingMixin, take_rows
from recbole_mpo.data.sequences import Rows, flatten_rows, gather_padded, lengths_of, rows_of_groups
from recbole_mpo.data.user_shares import rows_of_share, users_of_other_end
from recbole_mpo.text.fitted_text import FittedText
from recbole_mpo.text.item_features import ItemFeatures

ROW_END = "row_end"


class TextSequenceDataset(FeaturedMixin, ReadingMixin, SequentialDataset):
    """The dataset of the text models.

    With ``train_mode: packed``, rows are views into flat histories (``flat_items`` [I]) and padded histories are built
    only for the rows that are read. With ``pairwise``, RecBole's padded rows are built for all.
    """

    def __init__(self, config):
        # RecBole's splits are shallow copies: when one loads the features, all have them.
        self._loaded: dict[str, ItemFeatures] = {}
        self._fitted: dict[str, FittedText] = {}
        super().__init__(config)

    def _convert_feat_format(self):
        if self.config["train_mode"] != "packed":
            super()._convert_feat_format()
            return
        if self.benchmark_filename_list is None:
            rows, times = self._flatten_users()
        else:
            rows, times = self._flatten_presplit_rows()
        fields = {
            self.uid_field: rows.users,
            self.iid_field: self.flat_items[rows.ends],
            self.item_list_length_field: rows.lengths,
            ROW_END: rows.ends,
        }
        inter_feat = {name: torch.from_numpy(column.astype(np.int64, copy=False)) for name, column in fields.items()}
        if times is not None:
            inter_feat[self.time_field] = torch.from_numpy(times.astype(np.float32))
        self.inter_feat = Interaction(inter_feat)
        self.set_field_property(self.item_list_length_field, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)

    def _flatten_users(self) -> tuple[Rows, np.ndarray]:
        """Return each user's rows and the times of their targets."""
        users = self.inter_feat[self.uid_field].to_numpy()
        order = np.argsort(users, kind="stable")
        users = users[order]
        self.flat_items = self.inter_feat[self.iid_field].to_numpy()[order]
        ends, lengths = rows_of_groups(users, self.max_item_list_len)
        times = self.inter_feat[self.time_field].to_numpy()[order]
        return Rows(users[ends], ends, lengths), times[ends]

    def _flatten_presplit_rows(self) -> tuple[Rows, None]:
        """Join a user's rows into one history if each row continues the one before it; there are no times."""
        users = self.inter_feat[self.uid_field].to_numpy()
        histories = self.inter_feat[self.iid_field + self.config["LIST_SUFFIX"]].to_numpy()
        splits = np.repeat(np.arange(len(self.file_size_list)), self.file_size_list)
        targets = self.inter_feat[self.iid_field].to_numpy()
        order, self.flat_items, taken = flatten_rows(users, splits, histories, targets)
        ends = np.empty(len(users), dtype=np.int64)
        ends[order] = taken
        return Rows(users, ends, lengths_of(histories)), None

    def build(self):
        """Return the train, valid and test datasets; valid and test rows are sorted by length.

        Raises:
            DataError: no user is left to be evaluated.
        """
        splits = super().build()
        if self.config["train_mode"] != "packed":
            return splits
        train = splits[0].inter_feat
        users = train[self.uid_field].numpy()
        if (self.config["eval_users"] or 1) < 1:
            self._keep_evaluated(splits[1:], users_of_other_end(users, self.config["eval_users"]))
        if (self.config["train_users"] or 1) < 1:
            splits[0].inter_feat = take_rows(train, rows_of_share(users, self.config["train_users"]))
        for split in splits[1:]:
            # A batch of rows of similar length needs little padding; metrics do not depend on the order.
            split.inter_feat.sort(by=self.item_list_length_field)
        return splits

    def _keep_evaluated(self, splits: list, users: np.ndarray):
        """Leave only the rows of some users in valid and test."""
        if not len(users):
            raise DataError(f"eval_users={self.config['eval_users']} of {self.dataset_name} is less than one user")
        for split in splits:
            rows = np.flatnonzero(np.isin(split.inter_feat[self.uid_field].numpy(), users))
            split.inter_feat = take_rows(split.inter_feat, rows)

    def __getitem__(self, index, join=True):
        rows = super().__getitem__(index, join)
        if ROW_END in rows.interaction:
            lengths = rows[self.item_list_length_field].numpy()
            history = gather_padded(self.flat_items, rows[ROW_END].numpy() - lengths, lengths)
            rows.update(Interaction({self.iid_field + self.config["LIST_SUFFIX"]: torch.from_numpy(history)}))
        return rows

    def rows(self) -> Rows:
        """Return this split's rows as views into ``flat_items``."""
        fields = (self.uid_field, ROW_END, self.item_list_length_field)
        return Rows(*(self.inter_feat[field].numpy() for field in fields))

    def history_tokens(self, user: str) -> list[str]:
        """Return a user's item tokens, oldest first; for a dataset with a single interaction file.

        Raises:
            DataError: the user is unknown, or has only one interaction.
        """
        if user not in self.field2token_id[self.uid_field]:
            raise DataError(f"user {user!r} is not in the interactions of {self.dataset_name}")
        number = self.field2token_id[self.uid_field][user]
        ends = self.rows().ends[self.rows().users == number]
        if len(ends) == 0:
            raise DataError(f"user {user!r} has only one interaction in {self.dataset_name}; a history needs two")
        return self.id2token(self.iid_field, self.flat_items[ends.min() - 1 : ends.max() + 1]).tolist()
