"""Features: cached, resumed, read, and gathered by token."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text import cache
from recbole_mpo.text import encoding as features_module
from recbole_mpo.text.alignment import align_features, center_features, present_rows, scale_features
from recbole_mpo.text.encoders import build_encoder
from recbole_mpo.text.encoding import encode_items
from recbole_mpo.text.feature_files import feature_hash, read_feature_file
from recbole_mpo.text.item_text import ItemText, read_item_text

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


class HashEncoder:
    """Vectors of 6 drawn from a text's hash; counts its texts and can fail after some of them."""

    needs_whole_corpus = False

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
    return ItemText(
        [f"i{row}" for row in range(n)], [f"text number {row}" for row in range(n)], Path("Toy.text")
    )


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(cache, "CHUNK_SIZE", 10)


def encode(items, encoder, tmp_path):
    return encode_items(items, encoder, tmp_path / "cache", "Toy", show_progress=False)


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


@pytest.mark.parametrize("change", ["text", "token", "order", "fingerprint"])
def test_anything_that_changes_the_rows_encodes_anew(tmp_path, change, caplog):
    caplog.set_level(logging.INFO)
    items, encoder = make_items(5), HashEncoder()
    encode(items, encoder, tmp_path)
    if change == "text":
        items.texts[3] += "!"
    elif change == "token":
        items.tokens[3] = "other"
    elif change == "order":
        items.texts.reverse()
    encoder = HashEncoder(version=2 if change == "fingerprint" else 1)
    matrix = encode(items, encoder, tmp_path)
    np.testing.assert_array_equal(matrix, [encoder.vector(text) for text in items.texts])
    assert len(encoder.encoded) == 5
    changed = "encoder" if change == "fingerprint" else "text_sha256"
    assert f"hash.safetensors was made from another {changed}; encoding anew" in caplog.text
    assert not damage_warnings(caplog)


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
    assert "hash.safetensors are damaged (" in warning and warning.endswith("; encoding anew")
    repaired = HashEncoder()
    np.testing.assert_array_equal(encode(items, repaired, tmp_path), expected)
    assert repaired.encoded == []


def test_no_item_with_text(tmp_path):
    with pytest.raises(DataError, match="Toy.text: no item has a text with a letter or digit"):
        encode(ItemText(["a"], ["."], Path("Toy.text")), HashEncoder(), tmp_path)


def test_unwritable_cache_names_the_setting(tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(DataError, match=r"cannot keep item features there .* set another cache_dir"):
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


def test_encoder_of_the_whole_corpus_sees_all_distinct_texts_at_once(tmp_path, small_chunks):
    items = make_items(25)
    items.texts[3] = "."
    matrix = encode(items, build_encoder("tfidf-svd"), tmp_path)
    present = [row for row in range(25) if row != 3]
    np.testing.assert_array_equal(
        matrix[present], build_encoder("tfidf-svd").encode([items.texts[row] for row in present])
    )
    assert not matrix[3].any()


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
        patch.setattr(features_module, "save_cached", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
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


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\xff" * 600, b'{"key": "another", "dimension": 6}'.ljust(900)]
)
def test_damaged_partial_store_starts_again(tmp_path, small_chunks, content):
    items = make_items(35)
    partial = interrupt(items, tmp_path, 20)
    partial.write_bytes(content)
    partial = interrupt(items, tmp_path, 10)
    encoder = HashEncoder()
    matrix = encode(items, encoder, tmp_path)
    np.testing.assert_array_equal(matrix, [encoder.vector(text) for text in items.texts])
    assert encoder.encoded == items.texts[10:]


def test_progress_bar_counts_items_and_resumes(tmp_path, small_chunks, capsys):
    items = make_items(35)
    interrupt(items, tmp_path, 20)
    encode_items(items, HashEncoder(), tmp_path / "cache", "Toy")
    shown = capsys.readouterr().err
    assert (
        "Encoding items (hash)" in shown and "20/35" in shown and "35/35" in shown and " 10/35" not in shown
    )


# --- reading files

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 8  # exact in float16 and bfloat16 too


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy(tmp_path, dtype):
    np.save(tmp_path / "m.npy", np.asfortranarray(MATRIX.astype(dtype)))
    matrix = read_feature_file(tmp_path / "m.npy", 4)
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, MATRIX)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_safetensors(tmp_path, dtype):
    save_torch_file({"anything": torch.from_numpy(MATRIX).to(dtype)}, tmp_path / "m.safetensors")
    matrix = read_feature_file(tmp_path / "m.safetensors", 4, 3)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, MATRIX)


def test_safetensors_prefers_the_key_features(tmp_path):
    save_file({"a": MATRIX[:2], "features": MATRIX}, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(read_feature_file(tmp_path / "m.safetensors", 4), MATRIX)


@pytest.mark.parametrize("dimension", [None, 3])
def test_raw_float32_as_unisrec_writes_it(tmp_path, dimension):
    MATRIX.tofile(tmp_path / "Toy.feat1CLS")
    np.testing.assert_array_equal(read_feature_file(tmp_path / "Toy.feat1CLS", 4, dimension), MATRIX)


def write_npy(array, **options):
    return "m.npy", lambda path: np.save(path, array, **options)


def write_tensors(**tensors):
    return "m.safetensors", lambda path: save_file(tensors, path)


def write_bytes(name, content):
    return name, lambda path: path.write_bytes(content)


BAD = MATRIX.copy()
BAD[2, 1], BAD[3, 0] = np.nan, np.inf
MISTAKES = {
    "rows npy": (
        write_npy(MATRIX[:3]),
        r"3 rows for 4 items; row r must be the r-th line of the \.text file",
    ),
    "rows raw": (
        write_bytes("m.feat1CLS", MATRIX[:3].tobytes()),
        r"36 bytes are no float32 matrix with 4 rows",
    ),
    "empty raw": (write_bytes("m.feat1CLS", b""), "0 bytes are no float32 matrix with 4 rows"),
    "not finite": (write_npy(BAD), r"2 rows hold NaN or inf, the first is row 2 \(item 'c'\)"),
    "overflow": (
        write_npy(MATRIX.astype(np.float64) * 1e300),
        "4 rows hold NaN or inf, the first is row 0",
    ),
    "pickled": (write_npy(np.array([{}], dtype=object), allow_pickle=True), "pickled objects are refused"),
    "not npy": (write_bytes("m.npy", b"no array"), r"m\.npy: not a plain \.npy matrix"),
    "empty npy": (write_bytes("m.npy", b""), r"m\.npy: not a plain \.npy matrix"),
    "truncated npy": (write_bytes("m.npy", b"\x93NUMPY\x01\x00"), r"m\.npy: not a plain \.npy matrix"),
    "integers": (
        write_npy(MATRIX.astype(np.int64)),
        "holds int64; a feature matrix is float16, float32 or float64",
    ),
    "one axis": (write_npy(MATRIX[0]), r"shape \(3,\); a feature matrix has two axes"),
    "no columns": (write_npy(MATRIX[:, :0]), "dimension 0, expected at least 1"),
    "two tensors": (write_tensors(a=MATRIX, b=MATRIX), r"holds 2 tensors \(a, b\), none called 'features'"),
    "integer tensor": (
        write_tensors(a=MATRIX.astype(np.int32)),
        r"holds torch\.int32; a feature matrix is of a float",
    ),
    "damaged tensors": (write_bytes("m.safetensors", b"\x10\0"), "not a readable safetensors file"),
    "foreign": (
        write_bytes("m.pth", MATRIX.tobytes()),
        r"\.pth is not read; give \.npy, \.safetensors or raw",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_feature_files(tmp_path, mistake):
    (name, write), message = MISTAKES[mistake]
    write(tmp_path / name)
    with pytest.raises(FeatureError, match=message) as caught:
        read_feature_file(tmp_path / name, 4, tokens=["a", "b", "c", "d"])
    assert str(caught.value).startswith(str(tmp_path / name))


def test_wrong_dimension(tmp_path):
    np.save(tmp_path / "m.npy", MATRIX)
    with pytest.raises(FeatureError, match="dimension 3, expected 5"):
        read_feature_file(tmp_path / "m.npy", 4, 5)
    MATRIX.tofile(tmp_path / "m.feat1CLS")
    with pytest.raises(FeatureError, match="48 bytes are no float32 matrix of dimension 5"):
        read_feature_file(tmp_path / "m.feat1CLS", 4, 5)
    with pytest.raises(FeatureError, match="6 rows for 4 items"):
        read_feature_file(tmp_path / "m.feat1CLS", 4, 2)


def test_missing_file(tmp_path):
    with pytest.raises(FeatureError, match=r"m\.npy: no such feature file"):
        read_feature_file(tmp_path / "m.npy", 4)


def test_file_without_tokens_names_the_row_alone(tmp_path):
    np.save(tmp_path / "m.npy", BAD)
    with pytest.raises(FeatureError, match="the first is row 2$"):
        read_feature_file(tmp_path / "m.npy", 4)


# --- alignment


def test_rows_are_gathered_by_token():
    features = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    features[3] = 0  # the item's text is missing
    texts = ["axe", "nut", "axe", ".", "saw"]
    item_tokens = np.array(["[PAD]", "30", "10", "40", "99", "00"])
    table, report = align_features(features, ["00", "10", "20", "30", "40"], item_tokens, texts)
    np.testing.assert_array_equal(table, [[0, 0], [0, 0], [3, 4], [9, 10], [0, 0], [1, 2]])
    assert table.dtype == np.float32
    assert (report.items, report.with_text, report.missing_text) == (5, 3, 1)
    assert (report.absent_from_text_file, report.text_only, report.duplicate_texts) == (1, 1, 0)


def test_duplicates_are_counted_among_items_with_text():
    _, report = align_features(np.ones((5, 2)), list("abcde"), ["[PAD]", *"abcde"], ["x", "y", "x", ".", "."])
    assert report.duplicate_texts == 2
    assert align_features(np.ones((2, 2)), list("ab"), ["[PAD]", *"ab"])[1].duplicate_texts is None


@given(order=st.permutations(range(1, 31)), n_listed=st.integers(1, 30))
def test_order_of_the_interactions_does_not_matter(order, n_listed):
    rng = np.random.default_rng(0)
    listed = [str(token) for token in rng.permutation(40)[:n_listed]]
    features = rng.standard_normal((n_listed, 4)).astype(np.float32)
    by_token = dict(zip(listed, features, strict=True))
    item_tokens = np.array(["[PAD]", *map(str, order)])
    table, report = align_features(features, listed, item_tokens)
    for token, row in zip(item_tokens, table, strict=True):
        np.testing.assert_array_equal(row, by_token.get(token, np.zeros(4)))
    assert report.with_text + report.absent_from_text_file == report.items == 30
    assert report.text_only == n_listed - report.with_text


def test_pad_row_is_zero_even_if_the_text_file_lists_its_name():
    table, report = align_features(np.ones((2, 3)), ["[PAD]", "a"], ["[PAD]", "a"])
    assert not table[0].any() and report.text_only == 1


def test_tokens_and_rows_must_fit():
    with pytest.raises(FeatureError, match="3 feature rows for 2 tokens"):
        align_features(np.ones((3, 2)), ["a", "b"], ["[PAD]", "a"])
    with pytest.raises(FeatureError, match="item 'b' occurs twice among the feature rows"):
        align_features(np.ones((3, 2)), ["a", "b", "b"], ["[PAD]", "a"])


def test_scientific_rows_follow_interactions_not_lines():
    folder = SHARED_DATA / "Scientific"
    if not folder.is_dir():
        pytest.skip("the data set Scientific is not beside this checkout (../shared/data)")
    item_text = read_item_text(folder / "Scientific.text")
    matrix = read_feature_file(folder / "Scientific.feat1CLS.pq.npy", len(item_text), 768, item_text.tokens)
    lines = (folder / "Scientific.train.inter").read_text().splitlines()[1:]
    seen = dict.fromkeys(
        token for line in lines for token in (*line.split("\t")[1].split(), line.split("\t")[2])
    )
    table, report = align_features(matrix, item_text.tokens, np.array(["[PAD]", *seen]), item_text.texts)
    assert (report.items, report.with_text, report.text_only) == (4373, 4373, 12)
    row = 1 + list(seen).index("1234")
    np.testing.assert_array_equal(table[row], matrix[1234])


# --- hash and centring


def test_hash_knows_values_shape_and_type():
    hashes = {
        feature_hash(table)
        for table in (
            MATRIX,
            MATRIX + 1,
            MATRIX.reshape(3, 4),
            MATRIX.astype(np.float64),
            MATRIX[:0],
            MATRIX[::-1],
        )
    }
    assert len(hashes) == 6
    assert feature_hash(np.asfortranarray(MATRIX)) == feature_hash(MATRIX)
    assert feature_hash(MATRIX[:0]) != feature_hash(MATRIX[:, :0])


def test_centring_moves_present_rows_only():
    table = np.vstack([np.zeros((1, 3)), MATRIX + 5, np.zeros((1, 3))]).astype(np.float32)
    original = table.copy()
    present = present_rows(table)
    np.testing.assert_array_equal(present, [False, True, True, True, True, False])
    centered = table.copy()
    center_features(centered, present)
    assert centered.dtype == np.float32
    np.testing.assert_allclose(centered[1:5].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(centered[1:5] - centered[1], MATRIX - MATRIX[0], atol=1e-6)
    assert not centered[[0, 5]].any()
    np.testing.assert_array_equal(centered[[0, 5]], original[[0, 5]])


def test_centring_and_scaling_nothing():
    table = np.zeros((2, 3))
    center_features(table, np.zeros(2, dtype=bool))
    scale_features(table, np.zeros(2, dtype=bool))
    assert not table.any()


def test_tables_larger_than_a_part_are_centred_and_scaled_as_one(monkeypatch):
    table = (5 + 3 * np.random.default_rng(0).standard_normal((23, 4))).astype(np.float32)
    table[[3, 11]] = 0
    present = present_rows(table)
    whole, parts = table.copy(), table.copy()
    for result, size in ((whole, 100), (parts, 4)):
        monkeypatch.setattr(features_module, "PART", size)
        center_features(result, present)
        scale_features(result, present)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    expected = table[present] - table[present].mean(0)
    np.testing.assert_allclose(whole[present], expected / np.sqrt(np.square(expected).mean()), rtol=1e-4, atol=1e-6)
    assert not whole[[3, 11]].any()
