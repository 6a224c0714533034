"""A matrix is made of chunks of several processes, of an older matrix, or of both."""

import os
import threading

import numpy as np
import pytest
from text.slow_encoder import SlowEncoder

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.common.progress import progress_bar
from recbole_mpo.text import making_features, partial_store
from recbole_mpo.text.cache import Stored, load_cached, text_digests
from recbole_mpo.text.making_features import Making, checked, features_of_items, stored_in

TEXTS = [f"text {number}" for number in range(25)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(partial_store, "CHUNK_SIZE", 10)
    monkeypatch.setattr(making_features, "WAIT_SECONDS", 0.01)


def bar(**numbers):
    return progress_bar(shown=False, description="", unit="item", **numbers)


def make(folder, texts, stored=None, first=0.0, encoder=None):
    encoder = encoder or SlowEncoder()
    identity = {"encoder": encoder.fingerprint(), "text_sha256": "ab", "rows": len(texts), "fitted_sha256": None}
    making = Making(encoder, folder, identity, np.arange(len(texts)), text_digests(texts))
    making.make(texts, stored, bar, first)
    return load_cached(folder, "slow")


def test_it_begins_where_it_is_told_and_does_all(tmp_path):
    order = []

    class Noting(SlowEncoder):
        def encode(self, texts):
            order.append(texts[0])
            return super().encode(texts)

    make(tmp_path, TEXTS, first=0.4, encoder=Noting())
    assert order == ["text 10", "text 20", "text 0"]


def test_a_chunk_that_another_is_at_is_waited_for(tmp_path, monkeypatch):
    """Within one process claims do not exclude each other, so that another is feigned."""
    claimed, written = partial_store.PartialStore.claimed, threading.Event()

    def busy(store, start, waits=False):
        if start == 10 and not written.is_set():
            store.write(10, SlowEncoder().encode(TEXTS[10:20]))
            written.set()
            return making_features.contextmanager(lambda: (yield False))()
        return claimed(store, start, waits)

    monkeypatch.setattr(partial_store.PartialStore, "claimed", busy)
    encoded = []

    class Noting(SlowEncoder):
        def encode(self, texts):
            encoded.extend(texts)
            return super().encode(texts)

    features = make(tmp_path, TEXTS, encoder=Noting()).features
    assert encoded == TEXTS[:10] + TEXTS[20:]
    np.testing.assert_array_equal(features[10:20], SlowEncoder().encode(TEXTS[10:20]))


def test_chunks_that_are_lost_meanwhile_are_encoded_again(tmp_path):
    """Otherwise their items would have zeros, for good and with a hash that fits."""
    encoded = []

    class Losing(SlowEncoder):
        def encode(self, texts):
            encoded.append(texts[0])
            if len(encoded) == 2:
                (path,) = tmp_path.glob("*.partial")
                os.truncate(path, 0)
            return super().encode(texts)

    features = make(tmp_path, TEXTS, encoder=Losing()).features
    assert encoded == ["text 0", "text 10", "text 20", "text 0"]
    np.testing.assert_array_equal(features[:10], SlowEncoder().encode(TEXTS[:10]))
    assert features.any(axis=1).all()


@pytest.mark.parametrize("texts", [TEXTS[:3], TEXTS[::-1], [*TEXTS, "new", "other"]])
def test_vectors_that_are_stored_are_taken(tmp_path, texts):
    vectors = np.random.default_rng(0).standard_normal((25, 6)).astype(np.float32)
    features = make(tmp_path, texts, Stored({}, vectors, text_digests(TEXTS), {})).features
    known = [TEXTS.index(text) for text in texts if text in TEXTS]
    np.testing.assert_array_equal(features[: len(known)], vectors[known])
    assert features[len(known) :].any(axis=1).all()


def test_items_without_a_text_have_zeros():
    vectors = np.ones((2, 3), dtype=np.float32)
    found = features_of_items(lambda rows: vectors[rows], np.array([1, -1, 0]))
    assert found.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]] and (vectors == 1).all()


def test_unusable_vectors_and_full_disks_are_told(tmp_path):
    with pytest.raises(FeatureError, match="returned shape"):
        checked(SlowEncoder(), np.ones(3), 3)
    with pytest.raises(DataError, match="make room or set another cache_dir"), stored_in(tmp_path):
        raise OSError(28, "No space left on device")
