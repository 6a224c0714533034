"""Arrays come back bit for bit, if they were made from the same, or not at all."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbole_mpo.text.kept_arrays import load_arrays, save_arrays

ARRAYS = {"a": np.arange(6.0).reshape(2, 3).T, "none": np.zeros(0, np.uint8), "b": np.arange(3, dtype=np.int32)}
IDENTITY = {"version": 1, "made_from": {"of": ["x"]}}


@pytest.fixture
def path(tmp_path):
    save_arrays(tmp_path / "new" / "kept.safetensors", {**IDENTITY, "more": 2}, ARRAYS)
    return tmp_path / "new" / "kept.safetensors"


def test_what_was_saved_comes_back(path, caplog):
    found = load_arrays(path, IDENTITY)
    assert found.keys() == ARRAYS.keys() and not caplog.text
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


def test_an_absent_file_is_no_warning(tmp_path, caplog):
    assert load_arrays(tmp_path / "kept.safetensors", IDENTITY) is None and not caplog.text


def test_what_was_made_from_something_else_is_told(path, caplog):
    caplog.set_level("INFO")
    assert load_arrays(path, {**IDENTITY, "version": 2, "other": 1}) is None
    assert f"{path} was made from another version and other" in caplog.text


@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: raw[:-1], lambda raw: b"\xff" * 50, lambda raw: b"{}"])
def test_a_damaged_file_is_told(path, caplog, damage):
    path.write_bytes(damage(path.read_bytes()))
    assert load_arrays(path, IDENTITY) is None and f"{path} is damaged" in caplog.text


def test_no_flipped_bit_gives_other_arrays(path):
    raw = path.read_bytes()
    for place in range(0, len(raw), 3):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
        found = load_arrays(path, IDENTITY)
        assert found is None or all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_a_file_without_our_header_is_told(path, caplog):
    save_file(ARRAYS, path)
    assert load_arrays(path, IDENTITY) is None and "is damaged (KeyError" in caplog.text


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    save_arrays(tmp_path / "file" / "kept.safetensors", IDENTITY, ARRAYS)
    assert "kept.safetensors cannot be stored" in caplog.text
