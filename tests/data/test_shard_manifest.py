"""The manifest of a sharded dataset and its items, and what is refused."""

import json
import sys

import pytest
from sharded import shard_dataset

from recbole_mpo.common.errors import DataError, DependencyError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.atomic_files import find_layout
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.shard_manifest import Manifest, read_columns

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def manifest_file(tiny_path):
    return shard_dataset(tiny_path)


def test_the_manifest_says_what_there_is(tiny_path, manifest_file):
    manifest, histories = Manifest.read(manifest_file), read_dataset_histories(tiny_path, "tiny")
    sizes = (manifest.users, manifest.items, manifest.interactions)
    assert sizes == (len(histories.user_tokens), len(histories.item_tokens), len(histories.items))
    tokens = manifest.item_tokens()
    assert tokens.tolist() == ["[PAD]", *histories.item_tokens] and str(tokens[1]) == histories.item_tokens[0]
    assert len(manifest.identity) == 64


def test_tokens_without_numpys_strings_are_objects(manifest_file, monkeypatch):
    manifest = Manifest.read(manifest_file)
    before = manifest.item_tokens().tolist()
    monkeypatch.delattr("numpy.dtypes.StringDType", raising=False)
    assert manifest.item_tokens().tolist() == before


def test_the_layout_is_the_third(tiny_path, manifest_file):
    layout = find_layout(tiny_path, "shards")
    assert layout.is_sharded and layout.files == (manifest_file,) and not find_layout(tiny_path, "tiny").is_sharded
    (manifest_file.parents[1] / "shards.inter").write_text("")
    assert not find_layout(tiny_path, "shards").is_sharded


def test_what_reads_text_files_says_so(tiny_path, manifest_file):
    with pytest.raises(DataError, match=r"shards\.shards is a sharded dataset, .*: prepare it again from its raw "):
        read_dataset_histories(tiny_path, "shards")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "format is 'recbole-mpo-shards' 2"),
        ({"users": 7}, "users is 7, but its parts have 40"),
        ({"interactions": 7}, "interactions is 7, but its parts have"),
        ({"items": 0}, "40 users and 0 items; give 1 to"),
        ({"parts": 5}, "not the manifest of a sharded dataset"),
        ({"parts": [{"file": "../x", "rows": 1, "users": 1, "sha256": "0" * 64}]}, r"file '\.\./x' is not the name"),
        ({"parts": [{"file": "x", "rows": 1, "users": 1, "sha256": "z"}]}, "sha256 'z' is not a hash"),
        ({"parts": [{"file": "x"}]}, "it has no 'rows'"),
        ({"items_sha256": None}, "not the manifest of a sharded dataset"),
        ({"items_sha256": "z"}, "sha256 'z' is not a hash"),
    ],
)
def test_a_manifest_that_does_not_add_up_is_refused(manifest_file, changes, message):
    manifest_file.write_text(json.dumps({**json.loads(manifest_file.read_text()), **changes}))
    with pytest.raises(DataError, match=message):
        Manifest.read(manifest_file)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', "[" * 100_000, b"\xff"])
def test_another_file_is_refused(manifest_file, content):
    manifest_file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"manifest\.json is not the manifest"):
        Manifest.read(manifest_file)


def test_items_of_another_number_are_refused(manifest_file):
    content = json.loads(manifest_file.read_text())
    for items in (content["items"] - 1, content["items"] + 1):
        manifest_file.write_text(json.dumps({**content, "items": items}))
        with pytest.raises(DataError, match=r"items\.parquet does not have"):
            Manifest.read(manifest_file).item_tokens()


def test_items_in_another_order_are_refused(manifest_file):
    before, path = Manifest.read(manifest_file), manifest_file.with_name("items.parquet")
    items = parquet.read_table(path)
    parquet.write_table(items.take(list(reversed(range(len(items))))), path)
    with pytest.raises(DataError, match=r"items\.parquet is not the file that manifest\.json lists: prepare"):
        before.item_tokens()
    changed = {**json.loads(manifest_file.read_text()), "items_sha256": file_hash(path)}
    manifest_file.write_text(json.dumps(changed))
    after = Manifest.read(manifest_file)
    assert after.item_tokens().tolist()[1:] == items.column("item_id").to_pylist()[::-1]
    assert after.identity != before.identity, "what the cache has of the former items is not used"


def test_the_missing_package_is_named(manifest_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DependencyError, match=r"items\.parquet: reading it needs pyarrow; .*recbole-mpo\[scale\]"):
        Manifest.read(manifest_file).item_tokens()


def test_a_missing_or_damaged_file_is_named(manifest_file):
    path = manifest_file.with_name("items.parquet")
    with pytest.raises(DataError, match="has no column 'user'"):
        list(read_columns(path, ["user"]))
    path.write_bytes(b"PAR1" + path.read_bytes()[8:])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="may be damaged"):
        list(read_columns(path, ["item_id"]))
    path.unlink()
    with pytest.raises(DataError, match="does not exist, but the manifest"):
        list(read_columns(path, ["item_id"]))
    manifest_file.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        Manifest.read(manifest_file)
