"""Texts become features once: equal texts tie, a second call reads the cache, an interrupted one goes on."""

import hashlib
import json
import logging
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text import cache, encoding, making_features, partial_store
from recbole_mpo.text.encoders import build_encoder
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.feature_files import read_feature_file
from recbole_mpo.text.item_text import ItemText
from recbole_mpo.text.tfidf import TfidfSVDEncoder


class HashEncoder:
    """Vectors of 6 drawn from a text's hash; counts its texts and can fail after some of them."""

    needs_fit = False

    def __init__(self, name="hash", version=1, fails_after=None):
        self.name, self.version, self.fails_after = name, version, fails_after
        self.encoded: list[str] = []

    def fingerprint(self):
        return {"encoder": "hash", "version": self.version, "sizes": (6,)}

    def encode(self, texts):
        if self.fails_after is not None and len(self.encoded) >= self.fails_after:
            raise KeyboardInterrupt
        self.encoded += texts
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text):
        seed = int.from_bytes(hashlib.sha256(f"{self.version}{text}".encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(6).astype(np.float32)


def make_items(n: int) -> ItemText:
    return ItemText([f"i{row}" for row in range(n)], [f"text number {row}" for row in range(n)], Path("Toy.text"))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(partial_store, "CHUNK_SIZE", 10)


def encode(items, encoder, tmp_path):
    return encode_items(items, encoder, tmp_path / "cache", "Toy", show_progress=False).features


def damage_warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# --- encoding and its cache


def test_rows_follow_the_file_and_missing_texts_are_zero(tmp_path):
    items = ItemText(["b", "a", "c", "d"], ["Blue bolt", "?.", "An axe", ""], Path("Toy.text"))
    encoder = HashEncoder()
    matrix = encode(items, encoder, tmp_path)
    assert matrix.dtype == np.float32 and matrix.shape == (4, 6)
    np.testing.assert_array_equal(matrix[[0, 2]], [encoder.vector("Blue bolt"), encoder.vector("An axe")])
    assert not matrix[[1, 3]].any()
    assert encoder.encoded == ["Blue bolt", "An axe"]


def test_equal_texts_are_encoded_once_and_tie_exactly(tmp_path, small_chunks):
    items = make_items(25)
    items.texts[24] = items.texts[0]
    encoder = HashEncoder()
    matrix = encode(items, encoder, tmp_path)
    assert len(encoder.encoded) == 24
    np.testing.assert_array_equal(matrix[24], matrix[0])


def test_second_call_reads_the_cache(tmp_path, caplog):
    items = make_items(5)
    first = encode(items, HashEncoder(), tmp_path)
    again = HashEncoder()
    second = encode(items, again, tmp_path)
    np.testing.assert_array_equal(first, second)
    assert again.encoded == [] and second.flags.writeable and not damage_warnings(caplog)


def test_cache_holds_matrix_and_manifest_and_nothing_else(tmp_path):
    matrix = encode(make_items(5), HashEncoder(), tmp_path)
    folder = tmp_path / "cache" / "Toy"
    assert sorted(path.name for path in folder.iterdir()) == ["hash.json", "hash.safetensors"]
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # readable to the same people
    manifest = json.loads((folder / "hash.json").read_text())
    assert manifest["encoder"] == {"encoder": "hash", "version": 1, "sizes": [6]}
    assert (manifest["rows"], manifest["dimension"]) == (5, 6)
    assert len(manifest["text_sha256"]) == 64 and manifest["created_by"].startswith("recbole_mpo ")
    np.testing.assert_array_equal(read_feature_file(folder / "hash.safetensors", 5, 6), matrix)


@pytest.mark.parametrize(
    ("change", "encoded"), [("text", 1), ("token", 0), ("order", 0), ("one more", 1), ("one less", 0), ("encoder", 5)]
)
def test_only_what_is_new_is_encoded(tmp_path, change, encoded, caplog):
    caplog.set_level(logging.INFO)
    items, encoder = make_items(5), HashEncoder()
    encode(items, encoder, tmp_path)
    if change == "text":
        items.texts[3] += "!"
    elif change == "token":
        items.tokens[3] = "other"
    elif change == "order":
        items.texts.reverse()
    elif change == "one more":
        items = make_items(6)
    elif change == "one less":
        items = make_items(4)
    encoder = HashEncoder(version=2 if change == "encoder" else 1)
    matrix = encode(items, encoder, tmp_path)
    np.testing.assert_array_equal(matrix, [encoder.vector(text) for text in items.texts])
    assert len(encoder.encoded) == encoded
    assert f"were made from another {'encoder' if change == 'encoder' else 'text_sha256'}" in caplog.text
    assert ("1 of" in caplog.text) == (encoded == 1) and not damage_warnings(caplog)
    again = HashEncoder(version=encoder.version)
    np.testing.assert_array_equal(encode(items, again, tmp_path), matrix)
    assert again.encoded == []


def test_vectors_that_were_made_in_other_company_stay_bit_for_bit(tmp_path, small_chunks):
    """Rounding differs between batches: one more text would change the vectors of its neighbours in the batch."""

    class RoundingEncoder(HashEncoder):
        def encode(self, texts):
            return super().encode(texts) + np.float32(1e-6 * len(texts))

    before = encode(make_items(15), RoundingEncoder(), tmp_path)
    after = encode(make_items(16), RoundingEncoder(), tmp_path)
    np.testing.assert_array_equal(after[:15], before)


def test_features_of_an_older_version_are_used_as_long_as_nothing_changes(tmp_path):
    """Its files hold no digests of texts."""
    matrix = encode(make_items(5), HashEncoder(), tmp_path)
    folder = tmp_path / "cache" / "Toy"
    save_file({"features": matrix}, folder / "hash.safetensors")
    manifest = json.loads((folder / "hash.json").read_text())
    del manifest["kept_sha256"]
    (folder / "hash.json").write_text(json.dumps(manifest))
    encoder = HashEncoder()
    np.testing.assert_array_equal(encode(make_items(5), encoder, tmp_path), matrix)
    assert encoder.encoded == []
    assert len(encode(make_items(6), encoder, tmp_path)) == len(encoder.encoded) == 6


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "matrix truncated": lambda folder: (folder / "hash.safetensors").write_bytes(b"\x10\0\0"),
    "matrix cut short": lambda folder: (folder / "hash.safetensors").write_bytes(
        (folder / "hash.safetensors").read_bytes()[:-4]
    ),
    "matrix altered": lambda folder: flip_last_byte(folder / "hash.safetensors"),
    "matrix gone": lambda folder: (folder / "hash.safetensors").unlink(),
    "manifest gone": lambda folder: (folder / "hash.json").unlink(),
    "manifest truncated": lambda folder: (folder / "hash.json").write_text('{"encoder": {'),
    "manifest of another kind": lambda folder: (folder / "hash.json").write_text("[1, 2]"),
    "manifest without hash": lambda folder: (folder / "hash.json").write_text(
        json.dumps({**json.loads((folder / "hash.json").read_text()), "features_sha256": None})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_warns_and_encodes_anew(tmp_path, caplog, damage):
    items = make_items(5)
    expected = encode(items, HashEncoder(), tmp_path)
    DAMAGES[damage](tmp_path / "cache" / "Toy")
    encoder = HashEncoder()
    np.testing.assert_array_equal(encode(items, encoder, tmp_path), expected)
    assert len(encoder.encoded) == 5
    (warning,) = damage_warnings(caplog)
    assert "hash.safetensors are damaged (" in warning and warning.endswith("; encoding again")
    repaired = HashEncoder()
    np.testing.assert_array_equal(encode(items, repaired, tmp_path), expected)
    assert repaired.encoded == []


def test_no_item_with_text(tmp_path):
    with pytest.raises(DataError, match="Toy.text: no item has a text with a letter or digit"):
        encode(ItemText(["a"], ["."], Path("Toy.text")), HashEncoder(), tmp_path)


def test_unwritable_cache_names_the_setting(tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(DataError, match=r"cannot store item features there .* set another cache_dir"):
        encode(make_items(2), HashEncoder(), tmp_path)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.ones((3, 6)), r"encoder hash returned shape \(3, 6\) for 2 texts"),
        (np.ones(2), r"encoder hash returned shape \(2,\) for 2 texts"),
        (np.full((2, 6), np.nan), "encoder hash returned numbers that are not finite"),
    ],
)
def test_unusable_vectors_of_an_encoder(tmp_path, returned, message):
    encoder = HashEncoder()
    encoder.encode = lambda texts: returned
    with pytest.raises(FeatureError, match=message):
        encode(make_items(2), encoder, tmp_path)


class TestAnEncoderThatIsFitted:
    @staticmethod
    def encode(items, tmp_path, fitted=None):
        place = tmp_path / "cache", "Toy", False
        return encode_items(items, build_encoder("tfidf-svd"), *place, fitted)

    def test_sees_all_distinct_texts_at_once(self, tmp_path, small_chunks):
        items = make_items(25)
        items.texts[3] = "."
        encoded = self.encode(items, tmp_path)
        present = [row for row in range(25) if row != 3]
        texts, encoder = [items.texts[row] for row in present], build_encoder("tfidf-svd")
        np.testing.assert_array_equal(encoded.features[present], encoder.encode(texts, encoder.fit(texts)))
        assert not encoded.features[3].any()

    def test_reads_features_and_fit_from_the_cache(self, tmp_path, monkeypatch):
        first = self.encode(make_items(25), tmp_path)
        monkeypatch.setattr(TfidfSVDEncoder, "fit", None)
        monkeypatch.setattr(TfidfSVDEncoder, "encode", None)
        for fitted in (None, first.fitted):
            again = self.encode(make_items(25), tmp_path, fitted)
            np.testing.assert_array_equal(again.features, first.features)
            assert again.fitted.keys() == first.fitted.keys() == {"words", "idf", "components"}

    def test_is_not_fitted_again_when_there_is_an_earlier_fit(self, tmp_path):
        first = self.encode(make_items(25), tmp_path)
        grown = self.encode(make_items(26), tmp_path, first.fitted)
        np.testing.assert_array_equal(grown.features[:25], first.features)
        assert grown.features[25].any()

    def test_is_fitted_anew_for_a_new_run_on_other_texts(self, tmp_path):
        """What the cache holds was made with the fit of an older run, and is not that of a new one."""
        first = self.encode(make_items(25), tmp_path)
        self.encode(make_items(26), tmp_path, first.fitted)
        fresh = self.encode(make_items(26), tmp_path)
        assert b"25" in bytes(fresh.fitted["words"]) and b"25" not in bytes(first.fitted["words"])


# --- interruption


def interrupt(items, tmp_path, fails_after, **settings) -> Path:
    with pytest.raises(KeyboardInterrupt):
        encode(items, HashEncoder(fails_after=fails_after, **settings), tmp_path)
    (partial,) = (tmp_path / "cache" / "Toy").glob("*.partial")
    return partial


@pytest.mark.parametrize("fails_after", [0, 10, 30])
def test_interrupted_encoding_does_only_the_rest(tmp_path, small_chunks, fails_after):
    items = make_items(35)
    expected = encode(items, HashEncoder(), tmp_path / "uninterrupted")
    partial = interrupt(items, tmp_path, fails_after)
    encoder = HashEncoder()
    np.testing.assert_array_equal(encode(items, encoder, tmp_path), expected)
    assert encoder.encoded == items.texts[fails_after:]
    assert not partial.exists()


@pytest.mark.parametrize("cut", [1, 239, 240])
def test_chunk_cut_by_a_kill_is_encoded_again(tmp_path, small_chunks, cut):
    items = make_items(35)
    expected = encode(items, HashEncoder(), tmp_path / "uninterrupted")
    partial = interrupt(items, tmp_path, 20)
    partial.write_bytes(partial.read_bytes()[:-cut])
    encoder = HashEncoder()
    np.testing.assert_array_equal(encode(items, encoder, tmp_path), expected)
    assert encoder.encoded == items.texts[10:]


def test_finished_chunks_survive_a_kill_before_the_cache_is_written(tmp_path, small_chunks, monkeypatch):
    items = make_items(35)
    expected = encode(items, HashEncoder(), tmp_path / "uninterrupted")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(making_features, "save_cached", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        encode(items, HashEncoder(), tmp_path)
    encoder = HashEncoder()
    matrix = encode(items, encoder, tmp_path)
    np.testing.assert_array_equal(matrix, expected)
    assert encoder.encoded == [] and matrix.flags.writeable


@pytest.mark.parametrize("change", ["text", "fingerprint"])
def test_partial_rows_of_something_else_are_not_used(tmp_path, small_chunks, change):
    items = make_items(35)
    partial = interrupt(items, tmp_path, 20)
    if change == "text":
        items.texts[34] = "new"
    encoder = HashEncoder(version=2 if change == "fingerprint" else 1)
    matrix = encode(items, encoder, tmp_path)
    np.testing.assert_array_equal(matrix, [encoder.vector(text) for text in items.texts])
    assert len(encoder.encoded) == 35 and not partial.exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 600, b'{"key": "another", "dimension": 6}'.ljust(900)])
def test_damaged_partial_store_starts_again(tmp_path, small_chunks, content):
    items = make_items(35)
    partial = interrupt(items, tmp_path, 20)
    partial.write_bytes(content)
    partial = interrupt(items, tmp_path, 10)
    encoder = HashEncoder()
    matrix = encode(items, encoder, tmp_path)
    np.testing.assert_array_equal(matrix, [encoder.vector(text) for text in items.texts])
    assert encoder.encoded == items.texts[10:]


def test_progress_bar_counts_items_and_resumes(tmp_path, small_chunks, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(encoding, "progress_bar", partial(encoding.progress_bar, mininterval=0, miniters=1))
    items = make_items(35)
    interrupt(items, tmp_path, 20)
    encode_items(items, HashEncoder(), tmp_path / "cache", "Toy")
    shown = capsys.readouterr().err
    assert "Encoding items (hash)" in shown and "20/35" in shown and "35/35" in shown and " 10/35" not in shown


@pytest.mark.parametrize("place", ["partial store", "matrix", "manifest"])
def test_a_full_disk_is_told_in_one_line_and_no_chunk_is_lost(tmp_path, small_chunks, monkeypatch, place):
    items, error = make_items(35), OSError(28, "No space left on device")

    def refuse(*_):
        raise error

    if place == "partial store":
        write = partial_store.PartialStore.write
        monkeypatch.setattr(
            partial_store.PartialStore, "write", lambda *some: refuse() if some[1] == 20 else write(*some)
        )
    else:
        monkeypatch.setattr(cache, "write_matrix" if place == "matrix" else "write_json", refuse)
    with pytest.raises(DataError, match=r"Toy: cannot store item features there \(.*No space left .*make room or set"):
        encode(items, HashEncoder(), tmp_path)
    monkeypatch.undo()
    encoder = HashEncoder()
    monkeypatch.setattr(partial_store, "CHUNK_SIZE", 10)
    encode(items, encoder, tmp_path)
    assert len(encoder.encoded) == (15 if place == "partial store" else 0)
