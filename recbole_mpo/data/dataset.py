"""RecBole's sequential data set, read in 64 bits, with histories held flat and item text beside them.

Shapes: N items, F feature, R rows.
"""

from logging import getLogger
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pandas.api.types import union_categoricals
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils.enum_type import FeatureSource, FeatureType

from recbole_mpo.data.files import SPLITS, find_layout, line_number, read_atomic
from recbole_mpo.data.item_features import ItemFeatures, load_item_features
from recbole_mpo.data.sequences import (
    Rows,
    cut,
    flatten_rows,
    gather_padded,
    leave_one_out,
    lengths_of,
    rows_of_groups,
)
from recbole_mpo.errors import DataError

ROW_END = "row_end"
# Whether valid and test take a row of each user.
HELD_OUT = {"valid_and_test": (True, True), "valid_only": (True, False), "test_only": (False, True)}


def _take(rows: Interaction, index: np.ndarray) -> Interaction:
    """Some rows; Interaction's own indexing would make a list of the index first."""
    index = torch.from_numpy(index)
    return Interaction({name: column[index] for name, column in rows.interaction.items()})


class ReadingMixin:
    """Replaces RecBole's file reader and its float32 ordering, for any sequential data set class of RecBole."""

    def _load_feat(self, filepath, source):
        wanted, _ = self._get_load_and_unload_col(source)
        if wanted == set():
            return None
        encoding = self.config["encoding"] or "utf-8"
        separators = self.config["field_separator"], self.config["seq_separator"]
        frame, types = read_atomic(filepath, wanted, *separators, encoding)
        if frame.empty and self.benchmark_filename_list is None:
            raise DataError(f"{filepath} holds no rows")
        for field, kind in types.items():
            self.field2source[field] = source
            self.field2type[field] = FeatureType(kind)
            self.field2seqlen[field] = 1
            if kind.startswith("float"):
                self.field2bucketnum[field] = 2
            if kind.endswith("seq"):
                self.field2seqlen[field] = int(lengths_of(frame[field]).max(initial=0))
        for field in self._history_fields(types):
            self._check_histories(frame[field], filepath, encoding)
        return frame

    def _history_fields(self, fields) -> list[str]:
        """Those of ``fields`` that hold the history of another one."""
        suffix = self.config["LIST_SUFFIX"]
        return [field + suffix for field in fields if field + suffix in fields]

    @staticmethod
    def _check_histories(column, path, encoding):
        empty = np.flatnonzero(lengths_of(column) == 0)
        if len(empty):
            number = line_number(path, empty[0], encoding)
            raise DataError(
                f"{path}, line {number}: column {column.name!r} is empty; a target needs a history before it"
            )

    def _filter_by_inter_num(self):
        """RecBole's k-core filter, counting codes where RecBole counts tokens one by one."""
        if self.user_feat is not None or self.item_feat is not None:
            super()._filter_by_inter_num()
            return
        fields = {self.uid_field: "user_inter_num_interval", self.iid_field: "item_inter_num_interval"}
        intervals = {field: self._parse_intervals_str(self.config[key]) for field, key in fields.items()}
        fields = [field for field in fields if intervals[field]]
        while True:
            dropped = np.zeros(len(self.inter_feat), dtype=bool)
            for field in fields:
                codes = self.inter_feat[field].astype("category").cat.codes.to_numpy()
                dropped |= ~self._within_intervals(np.bincount(codes), intervals[field])[codes]
            if not dropped.any():
                return
            self.inter_feat.drop(self.inter_feat.index[dropped], inplace=True)

    def _remap(self, remap_list):
        """RecBole's numbering, by first appearance, without its loops over rows."""
        if not remap_list:
            return
        tokens, begins = self._concat_remaped_tokens(remap_list)
        ids, tokens = pd.factorize(tokens)
        names = np.array(["[PAD]", *tokens])
        numbers = dict(zip(names.tolist(), range(len(names)), strict=True))
        for (feat, field, kind), new_ids in zip(remap_list, np.split(ids + 1, begins), strict=True):
            self.field2id_token.setdefault(field, names)
            self.field2token_id.setdefault(field, numbers)
            feat[field] = new_ids if kind == FeatureType.TOKEN else cut(new_ids, lengths_of(feat[field]))

    def _concat_remaped_tokens(self, remap_list):
        """Tokens of all columns and where each but the first begins; as categories where all columns are."""
        columns = [
            np.concatenate(feat[field].values) if kind == FeatureType.TOKEN_SEQ else feat[field].values
            for feat, field, kind in remap_list
        ]
        begins = np.cumsum([len(column) for column in columns])[:-1]
        if all(isinstance(column, pd.Categorical) for column in columns):
            return union_categoricals(columns), begins
        return np.concatenate(columns), begins

    def _remap_ID_all(self):
        """Cuts histories to their newest items once all are numbered: an item may stand in the older part alone.

        RecBole itself does not cut them, or (``seq_len``) keeps the oldest items.
        """
        super()._remap_ID_all()
        longest = self.config["MAX_ITEM_LIST_LENGTH"]
        for field in self._history_fields(self.inter_feat.columns):
            if self.field2seqlen[field] > longest:
                self.inter_feat[field] = [history[-longest:] for history in self.inter_feat[field]]
                self.field2seqlen[field] = longest

    def _change_feat_format(self):
        """Sorts by time before RecBole turns times into float32 (128 s apart at today's dates).

        RecBole's own sort is stable, so what is in order before it stays in order.
        """
        if self.benchmark_filename_list is None:
            if self.time_field not in self.inter_feat:
                raise DataError(
                    f"{self.dataset_name} was read with no times to order interactions by: TIME_FIELD "
                    f"{self.time_field!r} is not among the columns that load_col names for inter"
                )
            self.inter_feat.sort_values(self.time_field, kind="stable", inplace=True, ignore_index=True)
            self.inter_feat[self.time_field] = self.inter_feat[self.time_field].astype(np.float64)
        self._warn_about_single_interactions()
        self._convert_feat_format()

    def _convert_feat_format(self):
        super()._change_feat_format()

    def _warn_about_single_interactions(self):
        if self.benchmark_filename_list is not None:
            return
        counts = np.bincount(self.inter_feat[self.uid_field])
        single = np.flatnonzero(counts == 1)
        if len(single):
            token = self.id2token(self.uid_field, int(single[0]))
            getLogger().warning(
                "%d of %d users have one interaction and nothing to predict it from (the first is %r); "
                "they are left out of training and evaluation",
                len(single),
                np.count_nonzero(counts),
                str(token),
            )

    def leave_one_out(self, group_by, leave_one_mode):
        """RecBole's splits, without its loops over rows and users."""
        asked = HELD_OUT.get(leave_one_mode)
        if group_by is None or asked is None:
            return super().leave_one_out(group_by, leave_one_mode)  # which refuses them
        parts = iter(leave_one_out(self.inter_feat[group_by].numpy(), sum(asked)))
        self._drop_unused_col()
        nothing = np.array([], dtype=np.int64)
        return [self.copy(_take(self.inter_feat, next(parts) if part else nothing)) for part in (True, *asked)]

    def build(self):
        """Train, valid and test data sets; refuses an empty one, RecBole would fail on it much later."""
        splits = super().build()
        allowed_empty = () if self.benchmark_filename_list is not None else self._empty_by_choice()
        for name, split in zip(SPLITS, splits, strict=True):
            if len(split) == 0 and name not in allowed_empty:
                raise DataError(
                    f"the {name} split of {self.dataset_name} is empty ({self._where()}): leave-one-out needs "
                    "users with at least 4 interactions, pre-split files at least one row each"
                )
        return splits

    def _empty_by_choice(self):
        mode = next(iter(self.config["eval_args"]["split"].values()))
        return {"valid_only": ("test",), "test_only": ("valid",)}.get(mode if isinstance(mode, str) else "", ())

    def _where(self):
        files = find_layout(Path(self.dataset_path).parent, self.dataset_name).files
        return ", ".join(path.name for path in files)


class TextSequenceDataset(ReadingMixin, SequentialDataset):
    """Data set of the text models.

    With ``train_mode: packed`` rows are views into flat histories (``flat_items``), and padded histories are
    built for the rows asked for; with ``pairwise`` RecBole's padded rows are built for all.
    """

    def __init__(self, config):
        # RecBole's splits are shallow copies: whichever loads the features, all have them.
        self._loaded: dict[str, ItemFeatures] = {}
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

    def _flatten_users(self):
        users = self.inter_feat[self.uid_field].to_numpy()
        order = np.argsort(users, kind="stable")
        users = users[order]
        self.flat_items = self.inter_feat[self.iid_field].to_numpy()[order]
        ends, lengths = rows_of_groups(users, self.max_item_list_len)
        times = self.inter_feat[self.time_field].to_numpy()[order]
        return Rows(users[ends], ends, lengths), times[ends]

    def _flatten_presplit_rows(self):
        """Joins a user's rows into one history wherever a row continues the one before it."""
        users = self.inter_feat[self.uid_field].to_numpy()
        histories = self.inter_feat[self.iid_field + self.config["LIST_SUFFIX"]].to_numpy()
        splits = np.repeat(np.arange(len(self.file_size_list)), self.file_size_list)
        targets = self.inter_feat[self.iid_field].to_numpy()
        order, self.flat_items, taken = flatten_rows(users, splits, histories, targets)
        ends = np.empty(len(users), dtype=np.int64)
        ends[order] = taken
        return Rows(users, ends, lengths_of(histories)), None

    def build(self):
        splits = super().build()
        if self.config["train_mode"] != "packed":
            return splits
        for split in splits[1:]:
            # Neighbours of equal length need no padding; metrics do not depend on the order.
            split.inter_feat.sort(by=self.item_list_length_field)
        return splits

    def __getitem__(self, index, join=True):
        rows = super().__getitem__(index, join)
        if ROW_END in rows.interaction:
            lengths = rows[self.item_list_length_field].numpy()
            history = gather_padded(self.flat_items, rows[ROW_END].numpy() - lengths, lengths)
            rows.update(Interaction({self.iid_field + self.config["LIST_SUFFIX"]: torch.from_numpy(history)}))
        return rows

    def rows(self) -> Rows:
        """This split's rows as views into ``flat_items``."""
        fields = (self.uid_field, ROW_END, self.item_list_length_field)
        return Rows(*(self.inter_feat[field].numpy() for field in fields))

    @property
    def features(self) -> ItemFeatures:
        """Text features by internal item id; encoded or read on first use."""
        if "features" not in self._loaded:
            self._loaded["features"] = load_item_features(self.config, self.field2id_token[self.iid_field])
        return self._loaded["features"]

    def item_features(self) -> torch.Tensor:
        """The feature table [N, F]."""
        return torch.from_numpy(self.features.table)

    @property
    def feature_hash(self) -> str:
        """Identifies the feature table; checkpoints keep it."""
        return self.features.hash

    def history_tokens(self, user: str) -> list[str]:
        """A user's item tokens, oldest first, as loaded from a single interaction file.

        Raises:
            DataError: no such user, or one with a single interaction.
        """
        if user not in self.field2token_id[self.uid_field]:
            raise DataError(f"user {user!r} is not in the interactions of {self.dataset_name}")
        number = self.field2token_id[self.uid_field][user]
        ends = self.rows().ends[self.rows().users == number]
        if len(ends) == 0:
            raise DataError(f"user {user!r} has one interaction in {self.dataset_name}, which makes no history")
        return self.id2token(self.iid_field, self.flat_items[ends.min() - 1 : ends.max() + 1]).tolist()
