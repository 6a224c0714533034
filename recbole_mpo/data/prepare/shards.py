"""Writes interactions as Parquet files by user, so that they can be read in parts: ``<Name>.shards/``.

``manifest.json`` lists the parts with their rows, users and sha256, and has the items'. All rows of a user are in
one part, in order; ``items.parquet`` has the item of each number. Shapes: I interactions, U users, N items.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recbole_mpo.common.arrow import require_pyarrow
from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash, write_json
from recbole_mpo.data.atomic_files import MANIFEST, SHARDS_SUFFIX
from recbole_mpo.data.prepare.rows_hash import RowsHash
from recbole_mpo.data.shard_manifest import FORMAT, ITEMS, VERSION

# Rows that a reader must hold at least.
ROWS_PER_GROUP = 1 << 17


def import_pyarrow():
    """Return pyarrow, for preparing.

    Raises:
        DependencyError: it is not installed.
    """
    return require_pyarrow("--output_format=parquet or --engine=duckdb")


def part_file(part: int) -> str:
    """Return the name of a part's file."""
    return f"part-{part:05}.parquet"


def part_of(user: str, parts: int) -> int:
    """Return the part of a user."""
    return int(hashlib.md5(user.encode(), usedforsecurity=False).hexdigest()[:8], 16) % parts


def part_schema(times: np.dtype):
    """Return the columns of a part whose times have this dtype: whole numbers, or numbers with fractions."""
    pyarrow = import_pyarrow()
    return pyarrow.schema(
        {
            "user_id": pyarrow.string(),
            "item_id": pyarrow.string(),
            "timestamp": pyarrow.float64() if times.kind == "f" else pyarrow.int64(),
            "user": pyarrow.int64(),
            "item": pyarrow.int32(),
        }
    )


def as_part(columns: list, times: np.dtype):
    """Return the table of a part.

    Args:
        columns: the columns of :func:`part_schema`, in its order.
        times: dtype of the times.

    Raises:
        DataError: a time does not fit into 64 bits with a sign.
    """
    pyarrow, schema = import_pyarrow(), part_schema(times)
    try:
        return pyarrow.table(columns, names=schema.names).cast(schema)
    except pyarrow.ArrowInvalid as problem:
        raise DataError(
            f"Parquet output holds times up to 2**63 - 1 ({problem}); give --output_format=inter"
        ) from problem


def lines_of(table) -> Iterable[str]:
    """Yield the rows of a part as lines of a ``.inter`` file."""
    columns = (table.column(name).to_pylist() for name in ("user_id", "item_id", "timestamp"))
    yield from (f"{user}\t{item}\t{moment}" for user, item, moment in zip(*columns, strict=True))


def write_shards(stage: Path, name: str, parts: Iterable, items, rows_hash: RowsHash) -> dict:
    """Write the folder of a dataset's parts, the manifest last.

    Args:
        stage: folder in which ``<name>.shards`` is made.
        name: name of the dataset.
        parts: a table of each part in turn, with the columns of :func:`part_schema`; it may have no rows.
        items: table of all items in the order of their numbers, with ``item_id`` and ``interactions``.
        rows_hash: the hash of all rows, complete when ``parts`` is at its end.

    Returns:
        The manifest.
    """
    pyarrow = import_pyarrow()
    folder = stage / f"{name}{SHARDS_SUFFIX}"
    folder.mkdir()
    pyarrow.parquet.write_table(items, folder / ITEMS, compression="zstd")
    written = []
    for number, table in enumerate(parts):
        path = folder / part_file(number)
        pyarrow.parquet.write_table(table, path, compression="zstd", row_group_size=ROWS_PER_GROUP)
        users = len(np.unique(table.column("user").to_numpy()))
        written.append({"file": path.name, "rows": len(table), "users": users, "sha256": file_hash(path)})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "parts": written,
        "users": sum(part["users"] for part in written),
        "items": len(items),
        "items_sha256": file_hash(folder / ITEMS),
        "interactions": sum(part["rows"] for part in written),
        "rows_hash": rows_hash.hexadecimal(),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def parts_of(interactions, parts: int, rows_hash: RowsHash) -> Iterable:
    """Yield the table of each part of interactions that are in memory, sorted by user and time; hash their rows.

    Args:
        interactions: :class:`~recbole_mpo.data.prepare.recipe.Interactions` in order.
        parts: number of parts.
        rows_hash: takes the rows.
    """
    pyarrow = import_pyarrow()
    users, items = (pyarrow.array(tokens, pyarrow.string()) for tokens in _tokens(interactions))
    part_of_user = np.array([part_of(user, parts) for user in interactions.user_tokens], dtype=np.int64)
    part_of_row = part_of_user[interactions.users]
    for part in range(parts):
        rows = np.flatnonzero(part_of_row == part)
        user, item = interactions.users[rows], interactions.items[rows]
        columns = [users.take(pyarrow.array(user)), items.take(pyarrow.array(item)), interactions.times[rows]]
        table = as_part([*columns, user, item], interactions.times.dtype)
        rows_hash.add_lines(lines_of(table))
        yield table


def items_of(interactions):
    """Return the table of items of interactions that are in memory: name and number of interactions."""
    pyarrow = import_pyarrow()
    counts = np.bincount(interactions.items, minlength=len(interactions.item_tokens)).astype(np.int64)
    names = pyarrow.array(_tokens(interactions)[1], pyarrow.string())
    return pyarrow.table({"item_id": names, "interactions": counts})


def _tokens(interactions) -> tuple[list[str], list[str]]:
    return interactions.user_tokens.tolist(), interactions.item_tokens.tolist()
