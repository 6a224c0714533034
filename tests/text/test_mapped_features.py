"""A mapped table has the numbers of one in memory, is written once, and is refused where the other is."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text import mapped_features
from recbole_mpo.text.feature_files import feature_hash
from recbole_mpo.text.item_features import load_item_features
from recbole_mpo.text.mapped_features import load_or_map

TOKENS = np.array(["[PAD]", "i3", "i0", "absent", "i5", "i1"])


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(mapped_features, "LARGE_BYTES", 1)
    for room in ("mapped_features", "standardising"):
        monkeypatch.setattr(f"recbole_mpo.text.{room}.ROWS_AT_A_TIME", 4)


@pytest.fixture
def features():
    table = np.random.default_rng(0).normal(1, 2, (7, 5)).astype(np.float32)
    table[5] = 0  # no text
    return table


@pytest.fixture
def config(tmp_path, features):
    folder = tmp_path / "shop"
    folder.mkdir()
    lines = [f"i{number}\ttext {number}" for number in range(7)]
    (folder / "shop.text").write_text("\n".join(["item_id:token\ttext:token_seq", *lines]) + "\n")
    np.save(folder / "features.npy", features)
    return {
        "data_path": str(folder),
        "dataset": "shop",
        "cache_dir": str(tmp_path / "cache"),
        "feature_file": "features.npy",
        "feature_size": None,
        "feature_center": True,
        "feature_scale": True,
    }


@pytest.mark.parametrize("changes", [{}, {"feature_center": False}, {"feature_center": False, "feature_scale": False}])
def test_the_table_is_the_one_in_memory(config, changes):
    config.update(changes)
    mapped, held = load_or_map(config, TOKENS), load_item_features(config, TOKENS)
    assert isinstance(mapped.table, np.memmap) and np.array_equal(mapped.table, held.table)
    assert mapped.hash == held.hash == feature_hash(held.table)
    assert mapped.source == held.source
    assert vars(mapped.report) == {**vars(held.report), "duplicate_texts": None}
    assert mapped.fitted.arrays().keys() == held.fitted.arrays().keys()
    for name, array in held.fitted.arrays().items():
        assert np.array_equal(mapped.fitted.arrays()[name], array)
    assert mapped.text_only_features.shape == (0, 5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_safetensors_are_mapped_too(config, features, tmp_path, kind):
    config["feature_file"] = "features.safetensors"
    path = tmp_path / "shop" / "features.safetensors"
    save_file({"another": np.ones(3, np.int64), "features": features.astype(kind)}, path)
    mapped, held = load_or_map(config, TOKENS), load_item_features(config, TOKENS)
    assert mapped.table.dtype == (np.float16 if kind == np.float16 else np.float32)
    assert np.allclose(mapped.table, held.table, atol=2e-3 if kind == np.float16 else 0)


def test_a_small_file_is_held_in_memory(config, monkeypatch):
    monkeypatch.setattr(mapped_features, "LARGE_BYTES", 1 << 20)
    assert not isinstance(load_or_map(config, TOKENS).table, np.memmap)


def test_it_is_written_once(config, monkeypatch):
    first = load_or_map(config, TOKENS)
    with monkeypatch.context() as patch:
        patch.setattr(mapped_features, "_write", lambda *_: pytest.fail("written again"))
        patch.setattr(mapped_features.Standardising, "fit", lambda *_: pytest.fail("fitted again"))
        assert np.array_equal(load_or_map(config, TOKENS).table, first.table)
        # With what the checkpoint of such a run has.
        assert np.array_equal(load_or_map(config, TOKENS, first.fitted).table, first.table)


def test_another_file_or_other_items_are_written_anew(config, features, tmp_path):
    first = load_or_map(config, TOKENS)
    other = load_or_map(config, TOKENS[[0, 2, 1, 3, 4, 5]])
    assert np.array_equal(other.table[1], first.table[2])
    np.save(tmp_path / "shop" / "features.npy", features * [1, 2, 3, 4, 5])
    assert load_or_map(config, TOKENS).hash != first.hash


def test_another_file_of_the_same_name_size_and_time_is_another(config, features, tmp_path):
    first = load_or_map(config, TOKENS)
    path = tmp_path / "shop" / "features.npy"
    before = path.stat()
    np.save(tmp_path / "other.npy", features[::-1])
    os.replace(tmp_path / "other.npy", path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    mapped, held = load_or_map(config, TOKENS), load_item_features(config, TOKENS)
    assert np.array_equal(mapped.table, held.table) and mapped.hash == held.hash != first.hash


def test_a_table_that_was_written_to_since_is_made_again(config, tmp_path):
    first = np.array(load_or_map(config, TOKENS).table)
    (path,) = (tmp_path / "cache" / "shop").glob("mapped-*.npy")
    with open(path, "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"1234")
    assert np.array_equal(load_or_map(config, TOKENS).table, first)


def test_a_full_disk_is_told_in_a_line_that_names_the_cache(config, monkeypatch):
    @contextmanager
    def full(*_):
        yield Path("/dev/full")

    monkeypatch.setattr(mapped_features, "replacing_path", full)
    with pytest.raises(DataError, match="cache/shop: cannot store item features there .*No space left.* cache_dir"):
        load_or_map(config, TOKENS)


def test_a_table_cut_short_is_written_again(config, tmp_path):
    first = np.array(load_or_map(config, TOKENS).table)
    (path,) = (tmp_path / "cache" / "shop").glob("mapped-*.npy")
    path.write_bytes(path.read_bytes()[:-8])
    assert np.array_equal(load_or_map(config, TOKENS).table, first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: np.where(np.arange(7)[:, None] == 6, np.nan, table), "NaN or inf, the first of them in row 6"),
        (lambda table: table[:6], "6 rows for 7 items"),
        (lambda table: table.ravel(), "must have two axes"),
        (lambda table: table.astype(int), "holds int64"),
    ],
)
def test_what_is_refused_in_memory_is_refused(config, features, tmp_path, change, message):
    np.save(tmp_path / "shop" / "features.npy", change(features))
    with pytest.raises(FeatureError, match=message):
        load_or_map(config, TOKENS)


def test_files_that_cannot_be_mapped_are_refused(config, features, tmp_path):
    features.tofile(tmp_path / "shop" / "shop.feat1CLS")
    with pytest.raises(FeatureError, match="must be .npy or .safetensors"):
        load_or_map({**config, "feature_file": "shop.feat1CLS"}, TOKENS)
    save_file({"features": np.ones((7, 5), np.int32)}, tmp_path / "shop" / "whole.safetensors")
    with pytest.raises(FeatureError, match="holds I32; a file of this size must hold F16"):
        load_or_map({**config, "feature_file": "whole.safetensors"}, TOKENS)
    with pytest.raises(FeatureError, match="dimension 5, expected 6"):
        load_or_map({**config, "feature_size": 6}, TOKENS)


def test_items_that_no_row_belongs_to_are_refused(config):
    with pytest.raises(FeatureError, match="none of the 1 items is listed in .*'i0' in that file"):
        load_or_map(config, np.array(["[PAD]", "x"]))
