"""Replaces how RecBole reads, numbers and orders interactions, for any of its sequential dataset classes."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pandas.api.types import union_categoricals
from recbole.data.interaction import Interaction
from recbole.utils.enum_type import FeatureType

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.atomic_files import SPLITS, Fields, find_layout
from recbole_mpo.data.atomic_reader import line_number, read_atomic
from recbole_mpo.data.catalogue import hash_items
from recbole_mpo.data.known_items import ROW_NUMBER, KnownItems
from recbole_mpo.data.sequences import cut, leave_one_out, lengths_of
from recbole_mpo.data.training_counts import training_popularity
from recbole_mpo.text.index_files import PAD

logger = logging.getLogger(__name__)

# RecBole's name of a mode: whether valid and whether test get a row of each user.
LEAVE_ONE_OUT_MODES = {"valid_and_test": (True, True), "valid_only": (True, False), "test_only": (False, True)}


class ReadingMixin:
    """Reads, numbers and orders interactions; to be mixed in before one of RecBole's sequential dataset classes."""

    known_items: KnownItems | None = None
    """The items that are not candidates of a row; None if all items are (``eval_history: kept``)."""
    fitted_words: dict[str, torch.Tensor] | None = None
    """What an earlier run fitted to the words of item texts, for its evidence; None in a new run."""

    @property
    def item_hash(self) -> str:
        """Return the hash of the items and their numbering, which checkpoints store."""
        return hash_items(self.field2id_token[self.iid_field])

    def target_popularity(self) -> np.ndarray:
        """Count each possible target in the training histories, int32 [N]; for the training part."""
        return training_popularity(self)

    def target_counts(self) -> torch.Tensor:
        """Count how often each item is the target of a row, int64 [N]."""
        return torch.bincount(self.inter_feat[self.iid_field], minlength=self.num(self.iid_field))

    def _load_feat(self, filepath, source):
        columns, _ = self._get_load_and_unload_col(source)
        if columns == set():
            return None
        fields = Fields.of(self.config)
        frame, types = read_atomic(filepath, columns, fields)
        if frame.empty and self.benchmark_filename_list is None:
            raise DataError(f"{filepath} has no rows")
        for field, kind in types.items():
            self.field2source[field] = source
            self.field2type[field] = FeatureType(kind)
            self.field2seqlen[field] = 1
            if kind.startswith("float"):
                self.field2bucketnum[field] = 2
            if kind.endswith("seq"):
                self.field2seqlen[field] = int(lengths_of(frame[field]).max(initial=0))
        for field in self._history_fields(types):
            self._check_histories(frame[field], filepath, fields.encoding)
        return frame

    def _history_fields(self, fields) -> list[str]:
        """Return those of ``fields`` that hold the history of another field."""
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
        """Filter in the same way as RecBole's k-core, but count integer codes instead of tokens one by one."""
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
        """Number tokens by first appearance, in the same way as RecBole but without its loops over rows."""
        if not remap_list:
            return
        tokens, begins = self._concat_remaped_tokens(remap_list)
        ids, tokens = pd.factorize(tokens)
        names = np.array([PAD, *tokens])
        numbers = dict(zip(names.tolist(), range(len(names)), strict=True))
        for (feat, field, kind), new_ids in zip(remap_list, np.split(ids + 1, begins), strict=True):
            self.field2id_token.setdefault(field, names)
            self.field2token_id.setdefault(field, numbers)
            feat[field] = new_ids if kind == FeatureType.TOKEN else cut(new_ids, lengths_of(feat[field]))

    def _concat_remaped_tokens(self, remap_list):
        """Return the tokens of all columns (categorical if all columns are), and where the next columns begin."""
        columns = [
            np.concatenate(feat[field].values) if kind == FeatureType.TOKEN_SEQ else feat[field].values
            for feat, field, kind in remap_list
        ]
        begins = np.cumsum([len(column) for column in columns])[:-1]
        if all(isinstance(column, pd.Categorical) for column in columns):
            return union_categoricals(columns), begins
        return np.concatenate(columns), begins

    def _remap_ID_all(self):
        """Number all tokens, then cut histories to their newest items.

        Only then, because an item may occur only in the older part. RecBole itself does not cut histories, or
        (``seq_len``) keeps the oldest items.
        """
        super()._remap_ID_all()
        if self.config["eval_history"] == "masked" and self.benchmark_filename_list is not None:
            self.known_items = self._known_of_rows()
        longest = self.config["MAX_ITEM_LIST_LENGTH"]
        for field in self._history_fields(self.inter_feat.columns):
            if self.field2seqlen[field] > longest:
                self.inter_feat[field] = [history[-longest:] for history in self.inter_feat[field]]
                self.field2seqlen[field] = longest

    def _known_of_rows(self) -> KnownItems:
        columns = (self.uid_field, self.iid_field + self.config["LIST_SUFFIX"], self.iid_field)
        users, histories, targets = (self.inter_feat[field].to_numpy() for field in columns)
        splits = np.repeat(np.arange(len(self.file_size_list)), self.file_size_list)
        return KnownItems.of_rows(users, splits, histories, targets)

    def _change_feat_format(self):
        """Sort by time before RecBole turns times into float32, which at today's dates are 128 s apart.

        RecBole's own sort is stable, so it keeps this order.
        """
        if self.benchmark_filename_list is None:
            if self.time_field not in self.inter_feat:
                raise DataError(
                    f"{self.dataset_name} was read without times, so interactions cannot be ordered: add TIME_FIELD "
                    f"{self.time_field!r} to the columns that load_col lists for inter"
                )
            self.inter_feat.sort_values(self.time_field, kind="stable", inplace=True, ignore_index=True)
            self.inter_feat[self.time_field] = self.inter_feat[self.time_field].astype(np.float64)
            if self.config["eval_history"] == "masked":
                columns = (self.inter_feat[field].to_numpy() for field in (self.uid_field, self.iid_field))
                self.known_items = KnownItems.of_users(*columns)
        self._warn_about_single_interactions()
        self._convert_feat_format()
        if self.known_items is not None:
            self.inter_feat.update(Interaction({ROW_NUMBER: torch.arange(len(self.inter_feat))}))

    def _convert_feat_format(self):
        super()._change_feat_format()

    def _warn_about_single_interactions(self):
        if self.benchmark_filename_list is not None:
            return
        counts = np.bincount(self.inter_feat[self.uid_field])
        single = np.flatnonzero(counts == 1)
        if len(single):
            token = self.id2token(self.uid_field, int(single[0]))
            logger.warning(
                "%d of %d users have only one interaction, so there is nothing to predict it from (the first is %r); "
                "they are left out of training and evaluation",
                len(single),
                np.count_nonzero(counts),
                str(token),
            )

    def leave_one_out(self, group_by, leave_one_mode):
        """Split in the same way as RecBole, but without its loops over rows and users."""
        takes_rows = LEAVE_ONE_OUT_MODES.get(leave_one_mode)
        if group_by is None or takes_rows is None:
            return super().leave_one_out(group_by, leave_one_mode)  # RecBole refuses them
        indices = iter(leave_one_out(self.inter_feat[group_by].numpy(), sum(takes_rows)))
        self._drop_unused_col()
        nothing = np.array([], dtype=np.int64)
        return [
            self.copy(take_rows(self.inter_feat, next(indices) if takes else nothing)) for takes in (True, *takes_rows)
        ]

    def build(self):
        """Return the train, valid and test datasets; refuse an empty one, with which RecBole would fail much later.

        Raises:
            DataError: a split is empty that should not be.
        """
        splits = super().build()
        allowed_empty = () if self.benchmark_filename_list is not None else self._empty_by_choice()
        for name, split in zip(SPLITS, splits, strict=True):
            if len(split) == 0 and name not in allowed_empty:
                raise DataError(
                    f"the {name} split of {self.dataset_name} is empty ({self._file_names()}): leave-one-out needs "
                    "users with at least 4 interactions, pre-split files need at least one row each"
                )
        return splits

    def _empty_by_choice(self):
        mode = next(iter(self.config["eval_args"]["split"].values()))
        return {"valid_only": ("test",), "test_only": ("valid",)}.get(mode if isinstance(mode, str) else "", ())

    def _file_names(self):
        files = find_layout(Path(self.dataset_path).parent, self.dataset_name).as_text().files
        return ", ".join(path.name for path in files)


def take_rows(rows: Interaction, index: np.ndarray) -> Interaction:
    """Return some rows; ``Interaction``'s own indexing would first make a list of the index."""
    index = torch.from_numpy(index)
    return Interaction({name: column[index] for name, column in rows.interaction.items()})
