"""Stored features come back bit for bit or not at all; rows of an encoding under way survive a kill."""

import json

import numpy as np
import pytest

from recbole_mpo.text import cache
from recbole_mpo.text.cache import PartialStore, load_cached, save_cached, text_digests
from recbole_mpo.text.feature_files import feature_hash

IDENTITY = {"encoder": {"encoder": "hash", "sizes": [6]}, "text_sha256": "ab", "rows": 25}
VECTORS = np.random.default_rng(0).standard_normal((25, 6)).astype(np.float32)
WORDS = np.frombuffer(b"red\nlamp", dtype=np.uint8)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(cache, "CHUNK_SIZE", 10)


def store_of(folder, name="hash", **changes) -> PartialStore:
    return PartialStore(folder, name, {**IDENTITY, **changes})


def save(folder, vectors=VECTORS, **fitted):
    digests = text_digests(f"text {row}" for row in range(len(vectors)))
    save_cached(folder, "hash", IDENTITY, vectors, digests, fitted)


def write_rows(folder, end):
    """The store with the rows before ``end``, written in chunks."""
    with store_of(folder) as store:
        assert store.read(25) == []
        for start in range(0, end, 10):
            store.write(start, VECTORS[start : min(start + 10, end)])
    return store


# The matrix and its manifest


def test_what_was_stored_comes_back(tmp_path):
    save(tmp_path, np.asfortranarray(VECTORS), words=WORDS, components=VECTORS.T)
    stored = load_cached(tmp_path, "hash")
    np.testing.assert_array_equal(stored.features, VECTORS)
    np.testing.assert_array_equal(stored.fitted.pop("words"), WORDS)
    np.testing.assert_array_equal(stored.fitted.pop("components"), VECTORS.T)
    assert not stored.fitted and stored.differences(IDENTITY) == []
    assert stored.rows_of_texts()[text_digests(["text 7"]).tobytes()] == 7
    manifest = json.loads((tmp_path / "hash.json").read_text())
    assert manifest["features_sha256"] == feature_hash(VECTORS) and manifest["dimension"] == 6
    assert {key: manifest[key] for key in IDENTITY} == IDENTITY


def test_nothing_stored_is_no_warning(tmp_path, caplog):
    assert load_cached(tmp_path, "hash") is None and not caplog.records


@pytest.mark.parametrize("change", [{"rows": 24}, {"text_sha256": "cd", "encoder": {}}, {"fitted_to": "ab"}])
def test_what_another_identity_differs_in_is_told(tmp_path, change):
    save(tmp_path)
    assert set(load_cached(tmp_path, "hash").differences({**IDENTITY, **change})) == change.keys()


def test_features_that_are_not_those_of_the_manifest_are_damaged(tmp_path, caplog):
    save(tmp_path)
    manifest = (tmp_path / "hash.json").read_text()
    save(tmp_path, VECTORS + 1)
    (tmp_path / "hash.json").write_text(manifest)
    assert load_cached(tmp_path, "hash") is None
    problem = "FeatureError: the hash of the numbers is not the one in the manifest"
    assert f"hash.safetensors are damaged ({problem})" in caplog.text


@pytest.mark.parametrize("file", ["hash.safetensors", "hash.json"])
def test_no_flipped_bit_gives_other_features(tmp_path, file):
    save(tmp_path, words=WORDS)
    raw = (tmp_path / file).read_bytes()
    for place in range(0, len(raw), 3):
        (tmp_path / file).write_bytes(raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
        stored = load_cached(tmp_path, "hash")
        assert stored is None or np.array_equal(stored.features, VECTORS)
        assert stored is None or stored.differences(IDENTITY) or np.array_equal(stored.fitted["words"], WORDS)


def test_a_manifest_without_a_checksum_is_not_believed(tmp_path, caplog):
    save(tmp_path)
    manifest = json.loads((tmp_path / "hash.json").read_text())
    del manifest["features_sha256"]
    (tmp_path / "hash.json").write_text(json.dumps(manifest))
    assert load_cached(tmp_path, "hash") is None
    assert "encoding again" in caplog.text


def test_storing_drops_the_rows_under_way_of_this_encoder_alone(tmp_path):
    ours, other = write_rows(tmp_path, 10).path, tmp_path / "hash-cls.0123456789abcdef.partial"
    other.touch()
    save(tmp_path)
    assert not ours.exists() and other.exists()


# Rows under way


@pytest.mark.parametrize("end", [10, 20, 25])
def test_finished_chunks_are_read_again(tmp_path, end):
    write_rows(tmp_path, end)
    with store_of(tmp_path) as store:
        np.testing.assert_array_equal(np.concatenate(store.read(25)), VECTORS[:end])


@pytest.mark.parametrize("cut, left", [(1, 10), (272, 10), (273, 0), (544, 0)])
def test_of_a_chunk_cut_short_nothing_is_read(tmp_path, cut, left):
    """A row is 24 bytes, a chunk 240, and its digest 32."""
    path = write_rows(tmp_path, 20).path
    path.write_bytes(path.read_bytes()[:-cut])
    with store_of(tmp_path) as store:
        chunks = store.read(25)
    assert sum(map(len, chunks)) == left


@pytest.mark.parametrize("byte, left", [(256, 0), (256 + 239, 0), (256 + 240, 0), (256 + 272, 10), (-1, 20), (-33, 20)])
@pytest.mark.parametrize("bit", [1, 128])
def test_a_flipped_bit_is_noticed_and_what_is_before_it_is_used(tmp_path, caplog, byte, left, bit):
    path = write_rows(tmp_path, 25).path
    raw = bytearray(path.read_bytes())
    raw[byte] ^= bit
    path.write_bytes(raw)
    with store_of(tmp_path) as store:
        chunks = store.read(25)
        assert sum(map(len, chunks)) == left
        for start in range(left, 25, 10):
            store.write(start, VECTORS[start : start + 10])
    assert f"is damaged after {left} texts; encoding again from there" in caplog.text
    with store_of(tmp_path) as store:
        np.testing.assert_array_equal(np.concatenate(store.read(25)), VECTORS)


def test_chunks_in_each_others_place_are_noticed(tmp_path):
    path = write_rows(tmp_path, 20).path
    raw = path.read_bytes()
    path.write_bytes(raw[:256] + raw[528:] + raw[256:528])
    with store_of(tmp_path) as store:
        assert store.read(25) == []


@pytest.mark.parametrize("change", [{"rows": 24}, {"encoder": {"encoder": "hash", "sizes": [7]}}])
def test_other_texts_or_encoders_have_a_store_of_their_own(tmp_path, change):
    write_rows(tmp_path, 20)
    with store_of(tmp_path, **change) as store:
        assert store.read(25) == []


def test_chunks_of_another_size_are_another_store(tmp_path, monkeypatch):
    """Rounding depends on which texts share a batch."""
    write_rows(tmp_path, 20)
    monkeypatch.setattr(cache, "CHUNK_SIZE", 5)
    with store_of(tmp_path) as store:
        assert store.read(25) == []


def test_a_store_with_another_header_begins_anew(tmp_path):
    path = write_rows(tmp_path, 20).path
    path.write_bytes(b"\xff" * 600)
    write_rows(tmp_path, 20)
    with store_of(tmp_path) as store:
        np.testing.assert_array_equal(np.concatenate(store.read(25)), VECTORS[:20])
