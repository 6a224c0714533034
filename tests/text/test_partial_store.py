"""Rows of an encoding under way survive a kill, and several processes make them together."""

import errno
import fcntl
import multiprocessing
import os

import numpy as np
import pytest

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text import partial_store
from recbole_mpo.text.partial_store import END, PartialStore

IDENTITY = {"encoder": {"encoder": "hash", "sizes": [6]}, "texts_sha256": "ab"}
VECTORS = np.random.default_rng(0).standard_normal((25, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(partial_store, "CHUNK_SIZE", 10)


def store_of(folder, name="hash", **changes) -> PartialStore:
    return PartialStore(folder, name, {**IDENTITY, **changes}, 25)


def write_rows(folder, *starts):
    """The store with some chunks."""
    with store_of(folder) as store:
        for start in starts:
            store.write(start, VECTORS[start : start + 10])
    return store


def held(folder, **changes):
    with store_of(folder, **changes) as store:
        return [start for start in store.starts if store.holds(start)]


@pytest.mark.parametrize("starts", [(0,), (10, 0), (20,), (20, 10), (0, 10, 20)])
def test_finished_chunks_are_read_again_in_any_order(tmp_path, starts):
    write_rows(tmp_path, *starts)
    assert held(tmp_path) == sorted(starts)
    numbers = np.array([row for start in starts for row in range(start, min(start + 10, 25))][::-1])
    with store_of(tmp_path) as store:
        np.testing.assert_array_equal(store.read(numbers), VECTORS[numbers])


@pytest.mark.parametrize("cut, left", [(1, [0]), (272, [0]), (273, []), (544, [])])
def test_of_a_chunk_cut_short_nothing_is_read(tmp_path, cut, left):
    """A row is 24 bytes, a chunk 240, and its digest 32."""
    path = write_rows(tmp_path, 0, 10).path
    path.write_bytes(path.read_bytes()[:-cut])
    assert held(tmp_path) == left


@pytest.mark.parametrize("byte, lost", [(256, 0), (256 + 239, 0), (256 + 240, 0), (256 + 272, 10), (-1, 20), (-33, 20)])
@pytest.mark.parametrize("bit", [1, 128])
def test_a_flipped_bit_is_noticed_and_only_its_chunk_is_lost(tmp_path, caplog, byte, lost, bit):
    path = write_rows(tmp_path, 0, 10, 20).path
    raw = bytearray(path.read_bytes())
    raw[byte] ^= bit
    path.write_bytes(raw)
    assert held(tmp_path) == [start for start in (0, 10, 20) if start != lost]
    assert f"is damaged after {lost} texts; encoding these again" in caplog.text
    write_rows(tmp_path, lost)
    with store_of(tmp_path) as store:
        np.testing.assert_array_equal(store.read(np.arange(25)), VECTORS)


def test_chunks_in_each_others_place_are_noticed(tmp_path):
    path = write_rows(tmp_path, 0, 10).path
    raw = path.read_bytes()
    path.write_bytes(raw[:256] + raw[528:] + raw[256:528])
    assert held(tmp_path) == []


@pytest.mark.parametrize("change", [{"texts_sha256": "cd"}, {"encoder": {"encoder": "hash", "sizes": [7]}}])
def test_other_texts_or_encoders_have_a_store_of_their_own(tmp_path, change):
    write_rows(tmp_path, 0, 10)
    assert held(tmp_path, **change) == []


def test_chunks_of_another_size_are_another_store(tmp_path, monkeypatch):
    """Rounding depends on which texts share a batch."""
    write_rows(tmp_path, 0, 10)
    monkeypatch.setattr(partial_store, "CHUNK_SIZE", 5)
    assert held(tmp_path) == []


def test_a_store_with_another_header_begins_anew(tmp_path):
    path = write_rows(tmp_path, 0, 10).path
    path.write_bytes(b"\xff" * 600)
    assert held(tmp_path) == []
    write_rows(tmp_path, 0, 10, 20)
    with store_of(tmp_path) as store:
        np.testing.assert_array_equal(store.read(np.arange(25)), VECTORS)


def test_what_another_process_wrote_meanwhile_stays(tmp_path, monkeypatch):
    """The header is not there yet when this process looks for it, and chunks are a moment later."""
    with store_of(tmp_path) as first:
        first.write(0, VECTORS[:10])
        with monkeypatch.context() as patch:
            patch.setattr(partial_store.os, "pread", lambda *_: b"")
            late = store_of(tmp_path).__enter__()
        first.write(10, VECTORS[10:20])
        assert first.holds(0) and first.holds(10)
        late.write(20, VECTORS[20:])
        np.testing.assert_array_equal(late.read(np.arange(25)), VECTORS)
        late.__exit__()


def test_chunks_behind_a_damaged_header_are_kept(tmp_path):
    path = write_rows(tmp_path, 0, 10).path
    path.write_bytes(b"\xff" * 256 + path.read_bytes()[256:])
    write_rows(tmp_path, 20)
    assert held(tmp_path) == [0, 10, 20]


@pytest.mark.parametrize("size", [0, 300, 530])
def test_rows_that_are_lost_are_never_read(tmp_path, size):
    with store_of(tmp_path) as store:
        store.write(0, VECTORS[:10])
        store.write(10, VECTORS[10:20])
        os.truncate(store.path, size)
        with pytest.raises(DataError, match="has lost texts from number .* on; give the same command again"):
            store.read(np.arange(20))


def test_rows_of_another_size_are_refused(tmp_path):
    path = write_rows(tmp_path, 0).path
    with store_of(tmp_path) as store, pytest.raises(FeatureError, match="rows of 5 numbers, but earlier ones have 6"):
        store.write(10, VECTORS[10:20, :5])
    assert path.is_file() and held(tmp_path) == [0]


def claims(folder, start):
    """Whether another process can claim a chunk."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(try_to_claim, (folder, start))


def try_to_claim(folder, start):
    partial_store.CHUNK_SIZE = 10
    with store_of(folder) as store, store.claimed(start) as is_mine:
        return is_mine


def test_what_one_process_claims_no_other_gets(tmp_path):
    with store_of(tmp_path) as store, store.claimed(0) as is_mine, store.claimed(END, waits=True):
        store.write(0, VECTORS[:10])
        # Reading must not free what is claimed.
        store.read(np.arange(3))
        assert is_mine and not claims(tmp_path, 0) and claims(tmp_path, 20) and not claims(tmp_path, END)
    assert claims(tmp_path, 0)


def test_where_there_are_no_locks_work_goes_on(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with store_of(tmp_path) as store, store.claimed(0) as is_mine:
        assert is_mine
