"""Stored features come back bit for bit or not at all."""

import json

import numpy as np
import pytest

from recbole_mpo.text.cache import is_stored, load_cached, save_cached, text_digests
from recbole_mpo.text.feature_files import feature_hash
from recbole_mpo.text.matrix_files import RowSource

IDENTITY = {"encoder": {"encoder": "hash", "sizes": [6]}, "text_sha256": "ab", "rows": 25}
VECTORS = np.random.default_rng(0).standard_normal((25, 6)).astype(np.float32)
WORDS = np.frombuffer(b"red\nlamp", dtype=np.uint8)


def save(folder, vectors=VECTORS, **fitted):
    digests = text_digests(f"text {row}" for row in range(len(vectors)))
    save_cached(folder, "hash", IDENTITY, RowSource.of(vectors), digests, fitted)


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
    ours, other = (tmp_path / f"{name}.0123456789abcdef.partial" for name in ("hash", "hash-cls"))
    ours.touch()
    other.touch()
    save(tmp_path)
    assert not ours.exists() and other.exists()


def test_features_can_stay_on_the_disk(tmp_path):
    save(tmp_path, words=WORDS)
    stored = load_cached(tmp_path, "hash", mapped=True)
    np.testing.assert_array_equal(stored.features, VECTORS)
    assert isinstance(stored.features, np.memmap) and not stored.features.flags.writeable
    (tmp_path / "hash.safetensors").write_bytes((tmp_path / "hash.safetensors").read_bytes()[:-40])
    assert load_cached(tmp_path, "hash", mapped=True) is None


def test_the_manifest_alone_says_what_is_stored(tmp_path):
    assert not is_stored(tmp_path, "hash", IDENTITY)
    save(tmp_path)
    assert is_stored(tmp_path, "hash", IDENTITY) and not is_stored(tmp_path, "hash", {**IDENTITY, "rows": 24})
    (tmp_path / "hash.json").write_text("[]")
    assert not is_stored(tmp_path, "hash", IDENTITY)
