"""Synthetic sharded datasets and feature files of any size, written a part at a time."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from recbole_mpo.common.files import file_hash

# Rows that are drawn at a time.
ROWS = 1 << 18


def write_shards(data_path: str | Path, name: str, interactions: int, users: int, items: int, parts: int):
    """Write users with about as many interactions each, at least 4, of items of which the first are popular.

    Numbers of items are not in order of appearance, which is of no consequence here.
    """
    folder = Path(data_path) / name / f"{name}.shards"
    folder.mkdir(parents=True, exist_ok=True)
    tokens = pa.array([f"i{item}" for item in range(items)])
    counts, listed = np.zeros(items, np.int64), []
    part_of = np.fromiter((_part(user, parts) for user in range(users)), dtype=np.int32, count=users)
    for number in range(parts):
        draw = np.random.default_rng(number)
        own = np.flatnonzero(part_of == number)
        sizes = 4 + draw.poisson(max(interactions / users - 4, 0), len(own))
        path = folder / f"part-{number:05}.parquet"
        rows = _write_part(path, own, sizes, tokens, counts, draw)
        listed.append({"file": path.name, "rows": rows, "users": len(own), "sha256": file_hash(path)})
    listed_items = folder / "items.parquet"
    parquet.write_table(pa.table({"item_id": tokens, "interactions": counts}), listed_items)
    totals = {"users": users, "items": items, "interactions": sum(part["rows"] for part in listed)}
    totals["items_sha256"] = file_hash(listed_items)
    content = {"format": "recbole-mpo-shards", "version": 1, "name": name, "parts": listed, **totals, "rows_hash": ""}
    (folder / "manifest.json").write_text(json.dumps(content))


def _part(user: int, parts: int) -> int:
    return int(hashlib.md5(b"u%d" % user).hexdigest()[:8], 16) % parts


def _write_part(path: Path, users, sizes, tokens, counts, draw) -> int:
    """Write the histories of users; return the number of rows."""
    ends, begin, writer = np.cumsum(sizes), 0, None
    while begin < len(users):
        end = max(begin + 1, int(np.searchsorted(ends, (ends[begin - 1] if begin else 0) + ROWS)))
        user = np.repeat(users[begin:end], sizes[begin:end])
        item = np.minimum((draw.random(len(user)) ** 3 * len(tokens)).astype(np.int32), len(tokens) - 1)
        counts += np.bincount(item, minlength=len(tokens))
        columns = {
            "user_id": pc.binary_join_element_wise("u", pa.array(user).cast(pa.string()), ""),
            "item_id": tokens.take(pa.array(item)),
            "timestamp": pa.array(np.arange(len(user), dtype=np.int64)),
            "user": pa.array(user.astype(np.int64)),
            "item": pa.array(item),
        }
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
        begin = end
    writer.close()
    return int(ends[-1])


def write_features(path: Path, rows: int, columns: int, kind: str):
    """Write random features of a float type as a ``.npy`` file; row r belongs to the item whose line is r."""
    table = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(rows, columns))
    draw = np.random.default_rng(0)
    for begin in range(0, rows, 1 << 16):
        block = table[begin : begin + (1 << 16)]
        block[:] = draw.standard_normal(block.shape, dtype=np.float32)
    table.flush()


def write_texts(path: Path, items: int):
    """Write a text of each item, so that the rows of features have names."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("item_id:token\ttext:token_seq\n")
        file.writelines(f"i{item}\titem {item}\n" for item in range(items))
