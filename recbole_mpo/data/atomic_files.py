"""Atomic interaction files: the names of their columns, and which of RecBole's two layouts a dataset has.

The layouts are one ``<Name>.inter``, or pre-split ``<Name>.train/.valid/.test.inter`` whose rows hold their history in
a separate column.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import DataError

SPLITS = ("train", "valid", "test")
# Endings of the interaction files' names, after the dataset's name.
SINGLE_SUFFIX = ".inter"
SPLIT_SUFFIXES = tuple(f".{split}.inter" for split in SPLITS)


@dataclass(frozen=True)
class Fields:
    """Column names and separators of interaction files; the defaults are RecBole's.

    Attributes:
        user, item, time: names of columns (``USER_ID_FIELD``, ``ITEM_ID_FIELD``, ``TIME_FIELD``).
        list_suffix: the history column is named after the item column plus this (``LIST_SUFFIX``).
        separator: between columns (``field_separator``).
        sequence_separator: between the values of a sequence (``seq_separator``).
        encoding: encoding of the files.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"
    list_suffix: str = "_list"
    separator: str = "\t"
    sequence_separator: str = " "
    encoding: str = "utf-8"

    @classmethod
    def of(cls, config) -> "Fields":
        """Return the fields that RecBole's settings name."""
        names = (config[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD", "LIST_SUFFIX"))
        return cls(*names, config["field_separator"], config["seq_separator"], config["encoding"] or "utf-8")

    @property
    def history(self) -> str:
        """Return the name of the history column in pre-split files."""
        return self.item + self.list_suffix

    @property
    def single_header(self) -> str:
        """Return the first line of a single file."""
        return self.separator.join((f"{self.user}:token", f"{self.item}:token", f"{self.time}:float"))

    @property
    def split_header(self) -> str:
        """Return the first line of a pre-split file."""
        return self.separator.join((f"{self.user}:token", f"{self.history}:token_seq", f"{self.item}:token"))


RECBOLE_FIELDS = Fields()


@dataclass(frozen=True)
class Layout:
    """The files that hold a dataset's interactions, and the RecBole settings that read them."""

    files: tuple[Path, ...]
    is_presplit: bool

    def settings(self, user: str, item: str, time: str, list_suffix: str) -> dict:
        """Return RecBole's settings for this layout; ``.item`` is not loaded, because it would add candidates."""
        if self.is_presplit:
            history = item + list_suffix
            return {
                "benchmark_filename": list(SPLITS),
                "alias_of_item_id": [history],
                "load_col": {"inter": [user, history, item]},
            }
        return {"load_col": {"inter": [user, item, time]}}


def find_layout(data_path: str | Path, name: str) -> Layout:
    """Return the layout of dataset ``name`` in ``data_path``; pre-split files win over a single file.

    Raises:
        DataError: the folder or the files are missing; the message names the files and a similar dataset.
    """
    folder = Path(data_path) / name
    single = folder / f"{name}{SINGLE_SUFFIX}"
    split = tuple(folder / f"{name}{suffix}" for suffix in SPLIT_SUFFIXES)
    present = [path for path in split if path.is_file()]
    if len(present) == len(split):
        return Layout(split, True)
    if single.is_file():
        return Layout((single,), False)
    if present:
        missing = ", ".join(path.name for path in split if path not in present)
        raise DataError(f"{folder} has a pre-split dataset without {missing}; all three files are needed")
    raise DataError(
        f"dataset {name!r} not found: neither {single} nor {split[0].name}, {split[1].name}, {split[2].name} "
        f"exists{_suggest(Path(data_path), name)}. Set --data_path to the folder that holds {name}/, "
        f"or make the dataset: recbole-mpo prepare {name}"
    )


def _suggest(data_path: Path, name: str) -> str:
    if not data_path.is_dir():
        return f" (data_path {data_path} is not a folder)"
    names = [path.name for path in data_path.iterdir() if path.is_dir()]
    matches = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
