"""Atomic interaction files: the names of their columns, and in which of three layouts a dataset is.

RecBole's layouts are one ``<Name>.inter``, or pre-split ``<Name>.train/.valid/.test.inter`` whose rows hold their
history in a separate column. The third is a folder ``<Name>.shards`` of Parquet files: recbole_mpo.data.shard_manifest.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, DataError

SPLITS = ("train", "valid", "test")
# Endings of the interaction files' names, after the dataset's name.
SINGLE_SUFFIX = ".inter"
SPLIT_SUFFIXES = tuple(f".{split}.inter" for split in SPLITS)
# The folder of a sharded dataset, after the dataset's name, and the file in it that is written last.
SHARDS_SUFFIX, MANIFEST = ".shards", "manifest.json"
# A name is a folder's name and the beginning of its files' names: never a path, hidden, or broken by a line end.
_NAME = re.compile(r"(?![.\s])[^/\\\x00-\x1f\x7f]{1,100}(?<!\s)")


def check_name(name: str):
    """Refuse a text that is not the name of a dataset.

    Raises:
        ConfigError: the name is empty or too long, begins with a dot, or contains a slash or a control character.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not the name of a dataset: give 1 to 100 characters without a slash and without a dot at the "
            "beginning; --data_path names the folder that holds the dataset's folder"
        )


def check_encoding(name: str):
    """Refuse a name that is not a text encoding.

    Raises:
        ConfigError: the encoding is unknown, or it does not decode to text.
    """
    try:
        b"".decode(name)
        "".encode(name)
    except (LookupError, ValueError) as problem:
        raise ConfigError(f"encoding {name!r} is unknown; try utf-8, latin-1 or cp1252") from problem


@dataclass(frozen=True)
class Fields:
    """Column names and separators of interaction files; the defaults are RecBole's.

    Attributes:
        user, item, time: names of columns (``USER_ID_FIELD``, ``ITEM_ID_FIELD``, ``TIME_FIELD``).
        list_suffix: the history column is named after the item column plus this (``LIST_SUFFIX``).
        separator: between columns (``field_separator``).
        sequence_separator: between the values of a sequence (``seq_separator``).
        encoding: encoding of the files.

    Raises:
        ConfigError: a separator is empty or contains a line end, or the encoding is unknown.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"
    list_suffix: str = "_list"
    separator: str = "\t"
    sequence_separator: str = " "
    encoding: str = "utf-8"

    def __post_init__(self):
        for key, separator in (("field_separator", self.separator), ("seq_separator", self.sequence_separator)):
            if not separator or any(character in separator for character in "\r\n\0"):
                raise ConfigError(f"{key} is {separator!r}; give at least one character and no line end")
        check_encoding(self.encoding)

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
    def types(self) -> dict[str, str]:
        """Return the type that each column must have for what it means."""
        return {self.user: "token", self.item: "token", self.history: "token_seq", self.time: "float"}

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
    """The files that hold a dataset's interactions, and the RecBole settings that read them.

    Attributes:
        files: the files; of a sharded dataset its manifest, which has the hashes of the others.
        is_presplit: whether they are RecBole's three files.
        is_sharded: whether they are Parquet files, which RecBole does not read.
    """

    files: tuple[Path, ...]
    is_presplit: bool
    is_sharded: bool = False

    def as_text(self) -> "Layout":
        """Return the layout itself, for what reads text files.

        Raises:
            DataError: the dataset is sharded.
        """
        if self.is_sharded:
            raise DataError(
                f"{self.files[0].parent} is a sharded dataset, which only training and evaluation read: prepare it "
                "again from its raw data with --output_format=inter"
            )
        return self

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
    """Return the layout of dataset ``name`` in ``data_path``; pre-split files win over a single, it over shards.

    Raises:
        ConfigError: ``name`` is not a name.
        DataError: the folder or the files are missing; the message names the files and a similar dataset.
    """
    check_name(name)
    folder = Path(data_path) / name
    single = folder / f"{name}{SINGLE_SUFFIX}"
    split = tuple(folder / f"{name}{suffix}" for suffix in SPLIT_SUFFIXES)
    present = [path for path in split if path.is_file()]
    if len(present) == len(split):
        return Layout(split, True)
    if single.is_file():
        return Layout((single,), False)
    manifest = folder / f"{name}{SHARDS_SUFFIX}" / MANIFEST
    if manifest.is_file():
        return Layout((manifest,), False, is_sharded=True)
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
