"""What is counted once in all parts of a sharded dataset, and kept in the cache.

Shapes: N items by internal id (row 0 is PAD).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.shard_manifest import Part, read_columns
from recbole_mpo.data.shard_split import training_counts
from recbole_mpo.text.kept_arrays import load_arrays, save_arrays

# Changes with what is counted, so that the file of an older version is not used.
VERSION = 1
# Lines that are hashed at a time.
LINES_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class ShardFacts:
    """What all parts together have.

    Attributes:
        target_counts: int32 [N] how often each item is a target of training.
        popularity: int32 [N] how often each item is in a training history.
        test_pairs: hash of the pairs of user and target of test, as recbole_mpo.data.target_pairs has it.
    """

    target_counts: np.ndarray
    popularity: np.ndarray
    test_pairs: str


def read_or_count(dataset, shares: dict) -> ShardFacts:
    """Return the facts of a sharded dataset, counted once and then read from the cache.

    Args:
        dataset: the dataset, whose parts are open.
        shares: the settings that choose users, by name.
    """
    identity = {"version": VERSION, "parts": dataset.manifest.identity, **shares}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = dataset.folder / f"facts-{key[:16]}.safetensors"
    arrays = load_arrays(path, identity)
    if arrays is None:
        targets, popularity = _counted(dataset)
        pairs = bytes.fromhex(test_pairs_hash(dataset))
        arrays = {"targets": targets, "popularity": popularity, "test_pairs": np.frombuffer(pairs, np.uint8)}
        save_arrays(path, identity, arrays)
    return ShardFacts(arrays["targets"], arrays["popularity"], bytes(arrays["test_pairs"]).hex())


def _counted(dataset) -> tuple[np.ndarray, np.ndarray]:
    totals = np.zeros((2, dataset.item_num), np.int32)
    for arrays, is_chosen in zip(dataset.parts, dataset.trained, strict=True):
        for total, counts in zip(totals, training_counts(arrays, dataset.item_num, is_chosen), strict=True):
            total += counts.astype(np.int32)
    return totals[0], totals[1]


def test_pairs_hash(dataset) -> str:
    """Return what recbole_mpo.data.target_pairs.target_pairs_hash returns of the test rows.

    Lines are sorted by Arrow, in about 100 bytes per row; tokens of users are read from the parts and let go.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = zip(range(len(dataset.parts)), dataset.manifest.parts, strict=True)
    blocks = [pa.array(lines, pa.large_string()) for number, part in parts for lines in _lines(dataset, number, part)]
    lines = pa.chunked_array(blocks, pa.large_string())
    ordered, digest = lines.take(pc.sort_indices(lines)), hashlib.sha256()
    for begin in range(0, len(ordered), LINES_AT_A_TIME):
        block = "\n".join(ordered.slice(begin, LINES_AT_A_TIME).to_pylist())
        digest.update(f"\n{block}".encode() if begin else block.encode())
    del blocks, lines, ordered
    # Arrow would keep what it has no use for now.
    pa.default_memory_pool().release_unused()
    return digest.hexdigest()


def _lines(dataset, number: int, part: Part) -> Iterator[list[str]]:
    """Yield the lines that are hashed, of the test rows of a part."""
    tokens, items = dataset.field2id_token[dataset.iid_field], dataset.parts[number].items
    places = np.sort(dataset.evaluated(number, "test").ends)
    begin = 0
    for block in read_columns(part.path, ["user_id"]):
        own = places[slice(*np.searchsorted(places, (begin, begin + len(block))))]
        users = block.column(0).take(own - begin).to_pylist() if len(own) else []
        yield [json.dumps(pair) for pair in zip(users, tokens[items[own]].tolist(), strict=True)]
        begin += len(block)
    if begin != part.rows:
        raise DataError(f"{part.path} has {begin:,} rows, but the manifest of its dataset says {part.rows:,} rows")
