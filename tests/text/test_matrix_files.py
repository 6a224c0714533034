"""A matrix that is written block by block is a plain safetensors file, and can be read from the disk."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text import matrix_files
from recbole_mpo.text.feature_files import feature_hash
from recbole_mpo.text.matrix_files import RowSource, hash_matrix, map_matrix, write_matrix

MATRIX = np.random.default_rng(0).standard_normal((25, 3)).astype(np.float32)
OTHERS = {
    "digests": np.arange(32, dtype=np.uint8).reshape(2, 16),
    "odd": np.arange(3, dtype=np.uint8),
    "weights": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "none": np.zeros((0, 4), dtype=np.int64),
}


def test_another_reader_finds_what_was_written_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix_files, "ROWS_AT_A_TIME", 10)
    asked = []

    def read(begin, end):
        asked.append((begin, end))
        return MATRIX[begin:end]

    found = write_matrix(tmp_path / "a.safetensors", RowSource(MATRIX.shape, read), OTHERS)
    assert asked == [(0, 10), (10, 20), (20, 25)] and found == feature_hash(MATRIX)
    content = load_file(tmp_path / "a.safetensors")
    assert content.keys() == {"features", *OTHERS}
    for name, array in {"features": MATRIX, **OTHERS}.items():
        np.testing.assert_array_equal(content[name], array)
        assert content[name].dtype == array.dtype


@pytest.mark.parametrize("rows", [0, 1, 25])
def test_a_mapped_matrix_is_the_written_one(tmp_path, rows):
    write_matrix(tmp_path / "a.safetensors", RowSource.of(MATRIX[:rows]), {})
    mapped = map_matrix(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(mapped, MATRIX[:rows])
    assert hash_matrix(tmp_path / "a.safetensors") == feature_hash(MATRIX[:rows])


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{}", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_such_file_is_told(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(FeatureError, match="not a readable safetensors file"):
        map_matrix(tmp_path / "a.safetensors")


def test_a_matrix_cut_short_is_told(tmp_path):
    write_matrix(tmp_path / "a.safetensors", RowSource.of(MATRIX), {})
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-4])
    with pytest.raises(FeatureError, match="no whole float32 matrix"):
        map_matrix(tmp_path / "a.safetensors")
