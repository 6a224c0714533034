"""Sharded Parquet: the columns, which part a user is in, the order of rows, and the manifest."""

import hashlib
import json
import sys

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, DataError, DependencyError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.prepare.prepared import Form, Prepared
from recbole_mpo.data.prepare.recipe import Interactions
from recbole_mpo.data.prepare.rows_hash import hash_of_inter
from recbole_mpo.data.prepare.shards import part_of

parquet = pytest.importorskip("pyarrow.parquet")
PARTS = 5


def prepared(times=None, rows=300, seed=0):
    draw = np.random.default_rng(seed)
    users, items = np.array([f"ü{n:03}" for n in range(40)]), np.array([f"{n:04}" for n in range(30)])
    times = draw.integers(0, 20, rows) if times is None else times
    interactions = Interactions(
        draw.integers(0, 40, rows), draw.integers(0, 30, rows), times, users.astype(object), items.astype(object)
    )
    return Prepared("mine", interactions.in_order(), None, (), None, ())


def read(folder):
    shards = folder / "mine.shards"
    manifest = json.loads((shards / "manifest.json").read_text())
    return shards, manifest, [parquet.read_table(shards / part["file"]) for part in manifest["parts"]]


def test_parts_hold_whole_users_in_order(tmp_path):
    data = prepared()
    shards, manifest, parts = read(data.write(tmp_path, Form(output_format="parquet", parts=PARTS)))
    rows, seen = data.interactions, set()
    for number, (part, entry) in enumerate(zip(parts, manifest["parts"], strict=True)):
        assert entry["file"] == f"part-{number:05}.parquet" and entry["sha256"] == file_hash(shards / entry["file"])
        names = part.column("user_id").to_pylist()
        assert all(int(hashlib.md5(name.encode()).hexdigest()[:8], 16) % PARTS == number for name in names)
        assert entry["rows"] == len(part) and entry["users"] == len(set(names)) and not seen & set(names)
        seen |= set(names)
        users = part.column("user").to_numpy()
        chosen = np.isin(rows.users, users)
        assert np.array_equal(users, rows.users[chosen])
        assert np.array_equal(part.column("item").to_numpy(), rows.items[chosen])
        assert np.array_equal(part.column("timestamp").to_numpy(), rows.times[chosen])
        assert names == rows.user_tokens[users].tolist()
        assert part.column("item_id").to_pylist() == rows.item_tokens[rows.items[chosen]].tolist()
    assert [str(field.type) for field in parts[0].schema] == ["string", "string", "int64", "int64", "int32"]


def test_items_stand_in_the_order_of_their_numbers(tmp_path):
    data = prepared()
    shards, manifest, _ = read(data.write(tmp_path, Form(output_format="parquet", parts=PARTS)))
    items = parquet.read_table(shards / "items.parquet")
    assert items.column("item_id").to_pylist() == data.interactions.item_tokens.tolist()
    assert items.column("interactions").to_pylist() == np.bincount(data.interactions.items).tolist()
    assert [str(field.type) for field in items.schema] == ["string", "int64"]
    assert manifest["items_sha256"] == file_hash(shards / "items.parquet")
    assert manifest["items"] == len(items) and manifest["users"] == len(data.interactions.user_tokens)


@pytest.mark.parametrize("times", [None, np.arange(300) / 8])
def test_the_hash_is_that_of_the_lines(tmp_path, times):
    data = prepared(times)
    inter = data.write(tmp_path / "lines", Form())
    _, manifest, parts = read(data.write(tmp_path / "parts", Form(output_format="parquet", parts=PARTS)))
    assert manifest["rows_hash"] == hash_of_inter(inter / "mine.inter")
    assert manifest["interactions"] == sum(map(len, parts)) == 300
    assert str(parts[0].schema.field("timestamp").type) == ("int64" if times is None else "double")


def test_times_beyond_64_bits_with_a_sign_are_refused(tmp_path):
    times = np.full(300, 2**64 - 1, dtype=np.uint64)
    with pytest.raises(DataError, match=r"Parquet output holds times up to 2\*\*63 - 1 .*; give --output_format=inter"):
        prepared(times).write(tmp_path, Form(output_format="parquet"))
    assert not list(tmp_path.iterdir())


def test_a_part_may_be_empty_and_one_is_enough(tmp_path):
    for parts in (1, 500):
        _, manifest, tables = read(prepared().write(tmp_path / str(parts), Form(output_format="parquet", parts=parts)))
        assert len(manifest["parts"]) == parts and sum(map(len, tables)) == 300


@pytest.mark.parametrize("parts", [0, 65_537])
def test_too_few_or_many_parts_are_refused(parts):
    with pytest.raises(ConfigError, match=f"parts is {parts}; give 1 to 65,536"):
        Form(output_format="parquet", parts=parts)


def test_the_part_of_a_user_is_known():
    assert [part_of(name, 64) for name in ("abc", "ü", "007")] == [24, 37, 30]


def test_whole_histories_are_not_split():
    for fields, key in (({"layout": "presplit"}, "layout=presplit"), ({"split": "temporal"}, "split=temporal")):
        with pytest.raises(ConfigError, match=f"holds whole histories, which a run splits; leave --{key} out"):
            Form(output_format="parquet", **fields)


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        DependencyError, match=r"--engine=duckdb needs pyarrow; run: pip install 'recbole-mpo\[scale\]'"
    ):
        prepared().write(tmp_path, Form(output_format="parquet"))
