"""Arrays of a part: the histories of its users, made once and kept."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sharded import shard_dataset

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash
from recbole_mpo.data import shard_arrays
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.shard_arrays import open_arrays
from recbole_mpo.data.shard_manifest import Manifest


@pytest.fixture
def manifest(tiny_path):
    return Manifest.read(shard_dataset(tiny_path, parts=3))


def test_each_user_has_the_history_of_the_text_file(tiny_path, manifest, tmp_path):
    histories = read_dataset_histories(tiny_path, "tiny")
    seen = {}
    for part in manifest.parts:
        arrays = open_arrays(part, manifest, tmp_path / "cache")
        assert [one.dtype for one in (arrays.items, arrays.users, arrays.offsets)] == [np.int32, np.int32, np.int64]
        assert isinstance(arrays.items, np.memmap) and (np.diff(arrays.users) > 0).all()
        for number, user in enumerate(arrays.users):
            seen[int(user)] = arrays.items[arrays.offsets[number] : arrays.offsets[number + 1]].tolist()
    assert seen == {
        user + 1: (histories.items[histories.users == user] + 1).tolist() for user in range(len(histories.user_tokens))
    }


def test_a_part_is_read_once(manifest, tmp_path):
    first = open_arrays(manifest.parts[0], manifest, tmp_path)
    manifest.parts[0].path.unlink()
    again = open_arrays(manifest.parts[0], manifest, tmp_path)
    assert np.array_equal(again.items, first.items) and np.array_equal(again.sizes, first.sizes)
    assert again.sizes_of(slice(1, 3)).tolist() == first.sizes[1:3].tolist()


def test_a_part_without_users_is_empty(tiny_path, tmp_path):
    manifest = Manifest.read(shard_dataset(tiny_path, parts=200, target="many"))
    empty = next(part for part in manifest.parts if not part.users)
    assert open_arrays(empty, manifest, tmp_path).shapes() == (0, 0, 1)


def test_files_cut_short_are_made_again(manifest, tmp_path):
    items = np.array(open_arrays(manifest.parts[0], manifest, tmp_path).items)
    for path in tmp_path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-4])
    assert np.array_equal(open_arrays(manifest.parts[0], manifest, tmp_path).items, items)


def other_part(manifest, changes):
    """The first part with other columns, and the hash that it then has."""
    part = manifest.parts[0]
    table = parquet.read_table(part.path).to_pydict()
    parquet.write_table(pa.table({**table, **changes(table)}), part.path)
    return replace(part, sha256=file_hash(part.path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda table: {"user": table["user"][::-1]}, "is not sorted by user"),
        (lambda table: {"user": [-5, *table["user"][1:]]}, "column user has numbers that are not from 0 to 39"),
        (lambda table: {"item": [10**6, *table["item"][1:]]}, "column item has numbers that are not from 0 to"),
        (lambda table: {"user": [*table["user"][:-1], 40]}, "column user has numbers that are not from 0 to 39"),
        (lambda table: {"user": [user + 2**32 for user in table["user"]]}, "column user has numbers that"),
        (lambda table: {"item": [None, *table["item"][1:]]}, "has empty cells"),
        (lambda table: {"user": [0] * len(table["user"])}, "rows of 1 users, but the manifest says"),
        (lambda table: {name: column[:-1] for name, column in table.items()}, "rows of .* but the manifest says"),
        (lambda table: {name: column + column[-1:] for name, column in table.items()}, "has more rows"),
    ],
)
def test_a_part_that_is_not_what_it_should_be_is_refused(manifest, tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        open_arrays(other_part(manifest, changes), manifest, tmp_path)
    assert not list(tmp_path.glob("*.npy"))


def test_another_file_than_the_listed_is_refused(manifest, tmp_path):
    manifest.parts[0].path.write_bytes(manifest.parts[1].path.read_bytes())
    with pytest.raises(DataError, match="is not the file that the manifest"):
        open_arrays(manifest.parts[0], manifest, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(manifest, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cache_dir: .*file/in cannot be written to"):
        open_arrays(manifest.parts[0], manifest, tmp_path / "file" / "in")


def test_arrays_of_a_part_in_another_dataset_are_checked_anew(manifest, tmp_path):
    open_arrays(manifest.parts[0], manifest, tmp_path)
    for smaller in ({"items": manifest.items - 1}, {"users": manifest.users - 1}):
        with pytest.raises(DataError, match="has numbers that are not from 0 to"):
            for part in manifest.parts:
                open_arrays(part, replace(manifest, **smaller), tmp_path)


def test_what_is_written_takes_its_space_at_once(manifest, tmp_path, monkeypatch):
    """A full disk ends the process where it meets a mapped file."""
    monkeypatch.setattr(np.lib.format, "open_memmap", lambda *_, **__: pytest.fail("mapped"))

    @contextmanager
    def full(*_):
        yield Path("/dev/full")

    monkeypatch.setattr(shard_arrays, "replacing_path", full)
    with pytest.raises(DataError, match="cache_dir: .* cannot be written to: No space left on device"):
        open_arrays(manifest.parts[0], manifest, tmp_path / "cache")
