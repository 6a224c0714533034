"""Sharded datasets: a folder ``<Name>.shards`` of Parquet parts, each with all interactions of some of the users.

``manifest.json`` lists the parts. A part's rows are sorted by user and, for each user, in order of time; ``user`` and
``item`` are numbers from 0, which ``items.parquet`` gives the tokens of. docs/files.md has the whole format.

Shapes: N items by internal id (row 0 is PAD).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.arrow import require_pyarrow
from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.text.index_files import PAD

FORMAT, VERSION = "recbole-mpo-shards", 1
ITEMS = "items.parquet"
# Rows of a Parquet file that are in memory at a time.
ROWS_AT_A_TIME = 1 << 16
# Numbers of users and items are held in 32 bits.
MOST = 2**31 - 2


@dataclass(frozen=True)
class Part:
    """One file of a sharded dataset.

    Attributes:
        path: the file.
        rows, users: how many interactions and users it has.
        sha256: hash of the file, which names what is kept of it in the cache.
    """

    path: Path
    rows: int
    users: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a sharded dataset consists of.

    Attributes:
        path: the manifest's file.
        parts: its parts, in order.
        items_sha256: hash of the file of the items.
        users, items, interactions: how many there are.
        rows_hash: hash of all rows, which does not depend on the number of parts; "" if made elsewhere without it.
    """

    path: Path
    parts: tuple[Part, ...]
    items_sha256: str
    users: int
    items: int
    interactions: int
    rows_hash: str = ""

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read a manifest.

        Raises:
            DataError: it is missing, is not one, or its numbers do not add up; the message names the field.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT or content["version"] != VERSION:
                raise ValueError(f"format is {content['format']!r} {content['version']!r}, not {FORMAT!r} {VERSION}")
            parts = tuple(
                Part(path.parent / _name(one["file"]), int(one["rows"]), int(one["users"]), _hash(one["sha256"]))
                for one in content["parts"]
            )
            items_sha256 = _hash(content["items_sha256"])
            sizes = [int(content[key]) for key in ("users", "items", "interactions")]
        except OSError as problem:
            raise DataError(f"{path} cannot be read: {problem.strerror}") from problem
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            reason = f"it has no {problem}" if isinstance(problem, KeyError) else problem
            raise DataError(f"{path} is not the manifest of a sharded dataset: {reason}; prepare it again") from problem
        manifest = cls(path, parts, items_sha256, *sizes, str(content.get("rows_hash") or ""))
        manifest._check()
        return manifest

    def _check(self):
        sums = {"users": sum(one.users for one in self.parts), "interactions": sum(one.rows for one in self.parts)}
        for key, total in sums.items():
            if getattr(self, key) != total:
                raise DataError(f"{self.path}: {key} is {getattr(self, key):,}, but its parts have {total:,}")
        if not 0 < self.items <= MOST or not 0 < self.users <= MOST:
            raise DataError(f"{self.path}: {self.users:,} users and {self.items:,} items; give 1 to {MOST:,} of each")

    @property
    def identity(self) -> str:
        """Return a hash of all parts and the items, which names what is kept of the dataset in the cache."""
        hashes = (*(one.sha256 for one in self.parts), self.items_sha256)
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def item_tokens(self) -> np.ndarray:
        """Return the tokens of the items [N] by internal id, PAD first.

        They are NumPy's strings of variable width where it has them: 16 bytes for a token of up to 15 bytes.

        Raises:
            DataError: the file is missing, damaged or of another dataset.
        """
        path = self.path.parent / ITEMS
        if path.is_file() and file_hash(path) != self.items_sha256:
            raise DataError(f"{path} is not the file that {self.path.name} lists: prepare the dataset again")
        kind = getattr(np.dtypes, "StringDType", None)
        tokens = np.empty(1 + self.items, dtype=object if kind is None else kind())
        tokens[0], end = PAD, 1
        for block in read_columns(path, ["item_id"]):
            names = block.column(0).to_pylist()
            if end + len(names) > len(tokens) or None in names:
                break
            tokens[end : end + len(names)] = names
            end += len(names)
        else:
            if end == len(tokens):
                return tokens
        raise DataError(f"{path} does not have {self.items:,} items, as {self.path.name} says")


def read_columns(path: Path, columns: list[str]) -> Iterator:
    """Yield blocks of rows of a Parquet file, as Arrow's record batches.

    Raises:
        DataError: the file is missing or damaged, or lacks a column.
        DependencyError: pyarrow is not installed.
    """
    pyarrow = require_pyarrow(f"{path}: reading it")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} has no column {missing[0]!r}; its columns are {file.schema_arrow.names}")
            yield from file.iter_batches(ROWS_AT_A_TIME, columns=columns, use_threads=False)
    except FileNotFoundError as problem:
        raise DataError(f"{path} does not exist, but the manifest of its dataset lists it") from problem
    except (pyarrow.ArrowException, OSError) as problem:
        raise DataError(f"{path} cannot be read, it may be damaged: {str(problem).splitlines()[0]}") from problem


def _name(file: str) -> str:
    if Path(file).name != file or file.startswith("."):
        raise ValueError(f"file {file!r} is not the name of a file beside it")
    return file


def _hash(text: str) -> str:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError(f"sha256 {text[:80]!r} is not a hash")
    return text
