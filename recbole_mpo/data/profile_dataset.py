"""Users and their classes (a column of ``<Name>.user``) in place of users and their next items.

Shapes: U users, I values of flat histories, R rows, C classes (class 0 is PAD).
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils.enum_type import FeatureSource, FeatureType

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.atomic_files import SPLITS, Fields
from recbole_mpo.data.atomic_reader import read_atomic
from recbole_mpo.data.dataset import ROW_END, TextSequenceDataset
from recbole_mpo.data.sequences import Rows, positions_within
from recbole_mpo.data.user_shares import rows_of_share
from recbole_mpo.text.index_files import PAD

# Of so many parts of the users, how many are in train, valid and test.
PARTS = (7, 1, 2)


class UserProfileDataset(TextSequenceDataset):
    """The newest items of each user as a row whose target is the user's class, by the setting ``user_profile``.

    Users are split by a hash of their tokens, so the parts are the same for all columns, seeds and models. A flat
    history is that of the items and, behind them, the class, where other datasets have the next item.
    """

    @property
    def column(self) -> str:
        """Return the column of the classes."""
        return self.config["user_profile"]

    def build(self) -> list["UserProfileDataset"]:
        """Return the users to train on, of valid and of test; the latter two are sorted by length.

        Raises:
            DataError: the users' file or the column is missing, the column has numbers or a single class, or one of the
                three parts is empty.
        """
        newest = _newest_rows([split.rows() for split in super().build()])
        tokens_R = self.field2id_token[self.uid_field][newest.users]
        classes_R = self._number_classes(tokens_R)
        newest, tokens_R, classes_R = newest[classes_R > 0], tokens_R[classes_R > 0], classes_R[classes_R > 0]
        part_R = np.array([part_of(str(token)) for token in tokens_R])
        rows = self._flatten_with_classes(newest, classes_R)
        parts = [np.flatnonzero(part_R == part) for part in range(len(SPLITS))]
        for name, part in zip(SPLITS, parts, strict=True):
            if not len(part):
                raise DataError(
                    f"{self.dataset_name} has too few users whose {self.column} is known ({len(rows)}): none is in the "
                    f"{name} part"
                )
        if (self.config["train_users"] or 1) < 1:
            parts[0] = parts[0][rows_of_share(rows.users[parts[0]], self.config["train_users"])]
        parts[1:] = [part[np.argsort(rows.lengths[part], kind="stable")] for part in parts[1:]]
        return [self._part(rows[part]) for part in parts]

    def _number_classes(self, tokens_R: np.ndarray) -> np.ndarray:
        """Number the classes in alphabetical order from 1 up; return that of each user, 0 if it is unknown."""
        class_of = read_classes(self.config, self.column)
        classes = [class_of.get(str(token)) for token in tokens_R]
        names = sorted({name for name in classes if name is not None})
        if len(names) < 2:
            raise DataError(
                f"{users_file(self.config)}: {self.column} has {len(names)} different values for the users "
                f"of {self.dataset_name}; there is nothing to predict"
            )
        self.field2id_token[self.column] = np.array([PAD, *names])
        self.field2token_id[self.column] = numbers = {name: number for number, name in enumerate((PAD, *names))}
        self.set_field_property(self.column, FeatureType.TOKEN, FeatureSource.USER, 1)
        unknown = sum(name is None for name in classes)
        if unknown:
            self.logger.warning(
                "%d of %d users have no %s in %s.user and are left out",
                unknown,
                len(classes),
                self.column,
                self.dataset_name,
            )
        return np.array([0 if name is None else numbers[name] for name in classes])

    def _flatten_with_classes(self, newest: Rows, classes_R: np.ndarray) -> Rows:
        """Replace the flat histories by the newest items of each row and its class; return the rows."""
        lengths = np.minimum(newest.lengths + 1, self.max_item_list_len)
        row_I, position_I = positions_within(lengths + 1)
        is_class_I = position_I == lengths[row_I]
        source_I = (newest.ends + 1 - lengths)[row_I] + position_I
        items_I = self.flat_items[np.where(is_class_I, 0, source_I)]
        self.flat_items = np.where(is_class_I, classes_R[row_I], items_I).astype(np.int64)
        return Rows(newest.users, np.cumsum(lengths + 1) - 1, lengths)

    def _part(self, rows: Rows) -> "UserProfileDataset":
        columns = {
            self.uid_field: rows.users,
            self.iid_field: self.flat_items[rows.ends],
            self.item_list_length_field: rows.lengths,
            ROW_END: rows.ends,
        }
        return self.copy(Interaction({name: torch.from_numpy(np.array(values)) for name, values in columns.items()}))

    def classes(self) -> np.ndarray:
        """Return the class of each row [R]."""
        return self.inter_feat[self.iid_field].numpy()

    def target_popularity(self) -> np.ndarray:
        """Count the users of each class, int32 [C]."""
        return np.bincount(self.classes(), minlength=self.num(self.column)).astype(np.int32)


def part_of(token: str) -> int:
    """Return the part that a user is in, 0 for train, 1 for valid and 2 for test, by a hash of the token."""
    number = int.from_bytes(hashlib.sha256(token.encode()).digest()[:8], "big") % sum(PARTS)
    return int(np.searchsorted(np.cumsum(PARTS), number, side="right"))


def users_file(config) -> Path:
    """Return the path of the file of users of a run's dataset."""
    return Path(config["data_path"]) / f"{config['dataset']}.user"


def read_classes(config, column: str) -> dict[str, str]:
    """Return the class of each user of a dataset's ``.user`` file, by token; of a repeated user the first.

    Args:
        config: settings of the run.
        column: the column of the classes.

    Raises:
        DataError: the file or the column is missing, or the column does not hold classes.
    """
    fields, path = Fields.of(config), users_file(config)
    if not path.is_file():
        raise DataError(
            f"user_profile={column} is a column of {path}, which does not exist: write a file with the columns "
            f"{fields.user}:token and {column}:token (that of ml-100k is written by recbole-mpo prepare ml-100k)"
        )
    header = read_atomic(path, None, fields)[1]
    names = [name for name, kind in header.items() if kind == "token" and name != fields.user]
    if fields.user not in header or column not in names:
        has = f"its columns of classes are {', '.join(names)}" if names else "it has no column of classes"
        raise DataError(f"{path} has no column '{column}:token' for user_profile beside {fields.user}; {has}")
    frame = read_atomic(path, (fields.user, column), fields)[0]
    pairs = zip(frame[fields.user].astype(str), frame[column].astype(str), strict=True)
    return dict(reversed(list(pairs)))


def profile_statistics(dataset: UserProfileDataset, splits: list[UserProfileDataset]) -> dict:
    """Return the classes of a dataset for the record, and what is right if the largest is said of everybody.

    Args:
        dataset: the whole dataset.
        splits: its users of train, valid and test.

    Returns:
        ``{"column", "classes": {name: users}, "majority": {"class", "valid", "test"}}``; the class is the largest in
        train, and the other two are its shares.
    """
    names, counts = dataset.field2id_token[dataset.column], [split.target_popularity() for split in splits]
    largest = int(counts[0].argmax())
    shares = [float(count[largest] / count.sum()) for count in counts[1:]]
    return {
        "column": dataset.column,
        "classes": dict(zip(names[1:].tolist(), sum(counts)[1:].tolist(), strict=True)),
        "majority": {"class": str(names[largest]), **dict(zip(SPLITS[1:], shares, strict=True))},
    }


def _newest_rows(parts: list[Rows]) -> Rows:
    """Return the row of each user with the newest target, of the rows of all parts."""
    columns = ((rows.users, rows.ends, rows.lengths) for rows in parts)
    rows = Rows(*(np.concatenate(column) for column in zip(*columns, strict=True)))
    return rows[rows.are_last()]
