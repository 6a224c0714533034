"""Matrices made elsewhere: every format, every mistake, and the hash that knows them."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text.feature_files import feature_hash, read_feature_file

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 8  # exact in float16 and bfloat16 too


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy(tmp_path, dtype):
    np.save(tmp_path / "m.npy", np.asfortranarray(MATRIX.astype(dtype)))
    matrix = read_feature_file(tmp_path / "m.npy", 4)
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous and matrix.flags.writeable
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
        r"36 bytes are not a float32 matrix with 4 rows",
    ),
    "empty raw": (write_bytes("m.feat1CLS", b""), "0 bytes are not a float32 matrix with 4 rows"),
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
        "holds int64; a feature matrix must be float16, float32 or float64",
    ),
    "one axis": (write_npy(MATRIX[0]), r"shape \(3,\); a feature matrix must have two axes"),
    "no columns": (write_npy(MATRIX[:, :0]), "dimension 0, expected at least 1"),
    "two tensors": (write_tensors(a=MATRIX, b=MATRIX), r"holds 2 tensors \(a, b\), none named 'features'"),
    "integer tensor": (
        write_tensors(a=MATRIX.astype(np.int32)),
        r"holds torch\.int32; a feature matrix must have a float",
    ),
    "damaged tensors": (write_bytes("m.safetensors", b"\x10\0"), "not a readable safetensors file"),
    "foreign": (
        write_bytes("m.pth", MATRIX.tobytes()),
        r"\.pth is not supported; give \.npy, \.safetensors or raw",
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
    with pytest.raises(FeatureError, match="48 bytes are not a float32 matrix of dimension 5"):
        read_feature_file(tmp_path / "m.feat1CLS", 4, 5)
    with pytest.raises(FeatureError, match="6 rows for 4 items"):
        read_feature_file(tmp_path / "m.feat1CLS", 4, 2)


FEATURES = np.random.default_rng(0).standard_normal((60, 16)) * 0.05


@pytest.mark.parametrize("dimension", [None, 16])
@pytest.mark.parametrize(
    "content",
    [
        FEATURES.astype(np.float64),
        FEATURES.astype(np.float32).astype(np.float64),
        FEATURES.astype(np.float16),
        (FEATURES * 20).astype(np.float16),
        FEATURES.astype(np.float32).astype(">f4"),
        np.frombuffer(b"0.0512 -0.3341 1.2000 0.0003\n" * 60 * 4, dtype=np.uint8)[: 60 * 16 * 4],
        np.frombuffer(b"The quick brown fox jumps. " * 60 * 4, dtype=np.uint8)[: 60 * 16 * 4],
    ],
    ids=["float64", "float64 of float32", "float16", "float16 of size 1", "big-endian", "numbers as text", "text"],
)
def test_another_type_is_not_read_as_raw_float32(tmp_path, content, dimension):
    """Without a dimension, the size alone fits twice or half as many columns."""
    (tmp_path / "m.feat1CLS").write_bytes(content.tobytes())
    with pytest.raises(FeatureError, match=r"float64, float16 or text rather than|and a raw file holds float32"):
        read_feature_file(tmp_path / "m.feat1CLS", 60, dimension)


@pytest.mark.parametrize(
    "matrix",
    [
        FEATURES,
        FEATURES * 1000,
        FEATURES * 1e-6,
        np.maximum(FEATURES, 0),
        np.zeros((60, 16)),
        np.exp(40 * FEATURES) / np.exp(40 * FEATURES).sum(axis=1, keepdims=True),
        np.eye(60),
    ],
    ids=["usual", "large", "small", "rectified", "zero", "softmax", "one-hot"],
)
def test_raw_float32_of_any_usual_kind_is_read(tmp_path, matrix):
    matrix = matrix.astype(np.float32)
    matrix.tofile(tmp_path / "m.feat1CLS")
    np.testing.assert_array_equal(read_feature_file(tmp_path / "m.feat1CLS", 60), matrix)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_headers_are_refused_or_read(tmp_path, seed):
    draw = np.random.default_rng(seed)
    for name, write in (write_npy(MATRIX), write_tensors(features=MATRIX)):
        write(tmp_path / name)
        raw = bytearray((tmp_path / name).read_bytes())
        for place in draw.integers(0, 100, 4):
            raw[place] = int(draw.integers(256))
        (tmp_path / name).write_bytes(raw)
        try:
            read_feature_file(tmp_path / name, 4)
        except FeatureError as problem:
            assert name in str(problem)


def test_a_header_that_promises_a_terabyte_is_refused(tmp_path):
    np.save(tmp_path / "m.npy", MATRIX)
    raw = (tmp_path / "m.npy").read_bytes()
    for shape in (b"(999999999, 3)", b"(4, 999999999)", b"(-1, 3)"):
        (tmp_path / "m.npy").write_bytes(raw.replace(b"(4, 3), }" + b" " * (len(shape) - 6), shape + b", }"))
        with pytest.raises(FeatureError, match=r"not a plain \.npy matrix|4 items"):
            read_feature_file(tmp_path / "m.npy", 4)


def test_missing_file(tmp_path):
    with pytest.raises(FeatureError, match=r"feature file .*m\.npy does not exist"):
        read_feature_file(tmp_path / "m.npy", 4)


def test_file_without_tokens_names_the_row_alone(tmp_path):
    np.save(tmp_path / "m.npy", BAD)
    with pytest.raises(FeatureError, match="the first is row 2$"):
        read_feature_file(tmp_path / "m.npy", 4)


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
