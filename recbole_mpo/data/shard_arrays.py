"""The interactions of a shard as flat arrays, which are files mapped into memory and written once.

An interaction takes 4 bytes and a user 12; the system holds in memory what is read, and lets go of it when it must.

Shapes: I interactions of a part, U users of it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash, replacing_path
from recbole_mpo.common.npy_files import appending_npy
from recbole_mpo.data.shard_manifest import Manifest, Part, read_columns


@dataclass(frozen=True)
class ShardArrays:
    """The interactions of one part, user after user.

    Attributes:
        items: int32 [I] internal ids.
        users: int32 [U] internal ids, ascending.
        offsets: int64 [U + 1] where each user's items begin, and where the last one's end.
    """

    items: np.ndarray
    users: np.ndarray
    offsets: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Return the number of interactions of each user, [U]."""
        return np.diff(self.offsets)

    def sizes_of(self, users: slice) -> np.ndarray:
        """Return the number of interactions of a range of users."""
        return np.diff(self.offsets[users.start : users.stop + 1])

    def shapes(self) -> tuple[int, ...]:
        """Return the lengths of the arrays."""
        return len(self.items), len(self.users), len(self.offsets)


NAMES = tuple(ShardArrays.__annotations__)


def open_arrays(part: Part, manifest: Manifest, folder: Path) -> ShardArrays:
    """Return the arrays of a part, from the cache; they are written there if they are not yet.

    Args:
        part: the part.
        manifest: that of the dataset, by whose numbers of users and items the part is checked.
        folder: folder of the dataset in the cache.

    Raises:
        DataError: the part is damaged, not sorted or of another dataset, or the cache cannot be written to.
    """
    key = hashlib.sha256(f"{part.sha256} {manifest.users} {manifest.items}".encode()).hexdigest()[:32]
    paths = [folder / f"{key}.{name}.npy" for name in NAMES]
    arrays = _mapped(paths, part)
    if arrays is None:
        try:
            _write(part, manifest, paths)
        except OSError as problem:
            raise DataError(f"cache_dir: {folder} cannot be written to: {problem.strerror or problem}") from problem
        arrays = _mapped(paths, part)
    if arrays is None:
        raise DataError(f"cache_dir: what was written to {folder} is not there; does another process delete it?")
    return arrays


def _mapped(paths: list[Path], part: Part) -> ShardArrays | None:
    """Return the arrays of these files; None if they are not there, or not whole."""
    try:
        arrays = ShardArrays(*(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths))
    except (OSError, ValueError):
        return None
    return arrays if arrays.shapes() == (part.rows, part.users, part.users + 1) else None


def _write(part: Part, manifest: Manifest, paths: list[Path]):
    if file_hash(part.path) != part.sha256:
        raise DataError(f"{part.path} is not the file that the manifest of its dataset lists: prepare it again")
    items_path, *others = paths
    with replacing_path(items_path) as temporary, appending_npy(temporary, np.int32, (part.rows,)) as append:
        users, starts = _copy(part, manifest, append)
    for path, array in zip(others, (users, np.append(starts, part.rows)), strict=True):
        with replacing_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, array)


def _copy(part: Part, manifest: Manifest, append: Callable[[np.ndarray], None]) -> tuple[np.ndarray, np.ndarray]:
    """Copy the items of a part as internal ids; return its users as internal ids, and where each begins."""
    users, starts, end, last = [], [], 0, -1
    for block in read_columns(part.path, ["user", "item"]):
        if any(column.null_count for column in block.columns):
            raise DataError(f"{part.path}: column user or item has empty cells: prepare it again")
        user, item = (column.to_numpy(zero_copy_only=False) for column in block.columns)
        if not len(user):
            continue
        if end + len(user) > part.rows:
            raise _otherwise(part, "more rows")
        for name, column, count in (("item", item, manifest.items), ("user", user, manifest.users)):
            if column.min() < 0 or column.max() >= count:
                raise DataError(f"{part.path}: column {name} has numbers that are not from 0 to {count - 1:,}")
        steps = np.diff(user, prepend=last)
        if (steps < 0).any():
            raise DataError(f"{part.path} is not sorted by user: prepare it again")
        begins = np.flatnonzero(steps)
        append(item + 1)
        users.append((user[begins] + 1).astype(np.int32))
        starts.append(begins + end)
        end, last = end + len(user), int(user[-1])
    users, starts = (np.concatenate([np.empty(0, np.int64), *one]) for one in (users, starts))
    if end != part.rows or len(users) != part.users:
        raise _otherwise(part, f"{end:,} rows of {len(users):,} users")
    return users.astype(np.int32), starts.astype(np.int64)


def _otherwise(part: Part, found: str) -> DataError:
    return DataError(f"{part.path} has {found}, but the manifest says {part.rows:,} of {part.users:,} users")
