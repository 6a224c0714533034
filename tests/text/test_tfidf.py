"""TF-IDF with SVD: fitted once, the same on any number of threads; later texts are projected."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.text import tfidf
from recbole_mpo.text.encoders import build_encoder
from recbole_mpo.text.tfidf import TfidfSVDEncoder

SENTENCES = ["an acoustic guitar", "nylon strings for a guitar", "seeds of spinach"]


def corpus(n_texts: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(f"word{word}" for word in rng.zipf(1.3, 12) % 900) for _ in range(n_texts)]


def vectors_of(texts, encoder=None):
    encoder = encoder or TfidfSVDEncoder()
    return encoder.encode(texts, encoder.fit(texts))


def test_vectors_are_those_of_scikit_learn():
    texts = corpus(400)
    weights = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+").fit_transform(texts)
    expected = normalize(TruncatedSVD(256, random_state=2020).fit_transform(weights))
    vectors = vectors_of(texts)
    assert vectors.shape == (400, 256) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-4)
    np.testing.assert_array_equal(vectors, vectors_of(texts, build_encoder("tfidf-svd")))


def test_shared_words_are_found():
    guitar, strings, spinach = vectors_of(SENTENCES)
    assert guitar @ strings > guitar @ spinach + 0.1


def test_later_texts_join_the_space_and_change_nothing_in_it():
    texts, encoder = corpus(300), TfidfSVDEncoder()
    fitted = encoder.fit(texts[:200])
    first, all_together = encoder.encode(texts[:200], fitted), encoder.encode(texts, fitted)
    np.testing.assert_array_equal(all_together[:200], first)
    assert (np.linalg.norm(all_together[200:], axis=1) > 0.99).all()
    np.testing.assert_array_equal(encoder.encode(["of other words alone"], fitted), np.zeros((1, first.shape[1])))


def test_a_fit_is_its_arrays_alone(tmp_path):
    """Checkpoints hold the arrays; a new process has only those."""
    texts, encoder = corpus(50), TfidfSVDEncoder()
    fitted = encoder.fit(texts)
    np.savez(tmp_path / "fit.npz", **fitted)
    with np.load(tmp_path / "fit.npz") as stored:
        again = {name: stored[name] for name in stored}
    np.testing.assert_array_equal(TfidfSVDEncoder(seed=3).encode(texts, again), encoder.encode(texts, fitted))
    assert {part.dtype.name for part in fitted.values()} == {"uint8", "float32"}


@pytest.mark.parametrize(
    ("texts", "dimension"),
    [
        (["x"], 1),
        (["x", "x x"], 1),
        (["steel bolt"], 1),
        (["steel bolt", "nut"], 2),
        (["7 ½", "笔", "a b c"], 3),
    ],
)
def test_tiny_corpora(texts, dimension):
    vectors = vectors_of(texts)
    assert vectors.shape == (len(texts), dimension)
    assert vectors.dtype == np.float32 and np.isfinite(vectors).all() and vectors.any(axis=1).all()


def test_the_vocabulary_is_bounded_and_keeps_the_frequent_words(monkeypatch):
    monkeypatch.setattr(tfidf, "MOST_WORDS", 2)
    words = bytes(TfidfSVDEncoder().fit(["red lamp", "red chair", "blue chair"])["words"]).decode().split("\n")
    assert words == ["chair", "red"]


def test_the_number_of_threads_changes_no_bit():
    program = (
        "import hashlib, numpy as np; from recbole_mpo.text.tfidf import TfidfSVDEncoder as E;"
        "draw = np.random.default_rng(0);"
        "texts = [' '.join(f'w{w}' for w in draw.zipf(1.3, 30) % 3000) for _ in range(900)];"
        "e = E(); f = e.fit(texts); print(hashlib.sha256(e.encode(texts, f).tobytes()).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", program]
        digests.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(digests) == 1


def test_fingerprint_knows_seed_and_library():
    first, second = (build_encoder("tfidf-svd", seed=seed).fingerprint() for seed in (1, 2))
    assert first != second and first["scikit_learn"]
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": None}, "is incomplete: 'words'"),
        ({"words": np.frombuffer(b"\xff", dtype=np.uint8)}, "is incomplete"),
        ({"words": np.frombuffer(b"a\na\nb", dtype=np.uint8)}, "is damaged: 3 words"),
        ({"idf": np.ones(2, dtype=np.float32)}, r"is damaged: \d+ words, arrays of shapes \(\(2,\)"),
        ({"components": np.ones((3, 1), dtype=np.float32)}, "is damaged"),
    ],
)
def test_what_is_no_fit_is_refused(change, message):
    encoder = TfidfSVDEncoder()
    fitted = {name: part for name, part in {**encoder.fit(SENTENCES), **change}.items() if part is not None}
    with pytest.raises(FeatureError, match=message):
        encoder.encode(SENTENCES, fitted)
