"""Writes the interactions of a dataset as a sharded one, and the same as an ``.inter`` file in the same order."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from recbole_mpo.common.files import file_hash
from recbole_mpo.data.histories import read_dataset_histories

INTER_HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def shard_dataset(data_path, name="tiny", parts=3, target="shards") -> Path:
    """Make dataset ``target`` of ``<name>.inter``, with its texts; return the manifest's path.

    ``<name>.inter`` is sorted by user and time on the way, so that both have the same numbers of users and items.
    """
    data_path = Path(data_path)
    sorted_rows = _sort(data_path / name / f"{name}.inter")
    histories = read_dataset_histories(data_path, name)
    users, items = (tokens.astype(str).tolist() for tokens in (histories.user_tokens, histories.item_tokens))
    assert sorted_rows == [(users[u], items[i]) for u, i in zip(histories.users, histories.items, strict=True)]
    folder = data_path / target / f"{target}.shards"
    folder.mkdir(parents=True)
    counts = np.bincount(histories.items, minlength=len(items))
    parquet.write_table(pa.table({"item_id": items, "interactions": counts}), folder / "items.parquet")
    part_of = np.array([int(hashlib.md5(user.encode()).hexdigest()[:8], 16) % parts for user in users])
    listed = [
        _write_part(folder / f"part-{number:05}.parquet", histories, users, items, part_of == number)
        for number in range(parts)
    ]
    sizes = {"users": len(users), "items": len(items), "interactions": len(histories.items)}
    content = {"format": "recbole-mpo-shards", "version": 1, "name": target, "parts": listed, **sizes, "rows_hash": ""}
    (folder / "manifest.json").write_text(json.dumps(content))
    text = data_path / name / f"{name}.text"
    if text.is_file():
        (folder.parent / f"{target}.text").write_bytes(text.read_bytes())
    return folder / "manifest.json"


def _sort(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    rows.sort(key=lambda row: (row[0], float(row[2])))
    path.write_text("\n".join([INTER_HEADER, *("\t".join(row) for row in rows)]) + "\n")
    return [(row[0], row[1]) for row in rows]


def _write_part(path, histories, users, items, has_user) -> dict:
    rows = np.flatnonzero(has_user[histories.users])
    user, item = histories.users[rows], histories.items[rows]
    columns = {
        "user_id": pa.array([users[one] for one in user], pa.string()),
        "item_id": pa.array([items[one] for one in item], pa.string()),
        "timestamp": pa.array(histories.times[rows].astype(np.int64)),
        "user": pa.array(user, pa.int64()),
        "item": pa.array(item.astype(np.int32)),
    }
    parquet.write_table(pa.table(columns), path)
    return {"file": path.name, "rows": len(rows), "users": len(np.unique(user)), "sha256": file_hash(path)}
