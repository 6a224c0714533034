"""Writes the interactions of a dataset as a sharded one, and the same as an ``.inter`` file in the same order."""

from pathlib import Path

from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.recipe import Interactions
from recbole_mpo.data.prepare.rows_hash import RowsHash
from recbole_mpo.data.prepare.shards import items_of, parts_of, write_shards

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
    rows = Interactions(histories.users, histories.items, histories.times, histories.user_tokens, histories.item_tokens)
    folder, rows_hash = data_path / target, RowsHash()
    folder.mkdir(parents=True)
    write_shards(folder, target, parts_of(rows, parts, rows_hash), items_of(rows), rows_hash)
    text = data_path / name / f"{name}.text"
    if text.is_file():
        (folder / f"{target}.text").write_bytes(text.read_bytes())
    return folder / f"{target}.shards" / "manifest.json"


def _sort(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    rows.sort(key=lambda row: (row[0], float(row[2])))
    path.write_text("\n".join([INTER_HEADER, *("\t".join(row) for row in rows)]) + "\n")
    return [(row[0], row[1]) for row in rows]
