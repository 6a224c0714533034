"""Latent semantic analysis, fitted once to the texts of a dataset: later texts are projected into the same space.

Shapes: N texts, W distinct words, F feature.
"""

from typing import Any

import numpy as np
import sklearn
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from recbole_mpo.common.errors import FeatureError

# Checkpoints hold the vocabulary, so it is bounded: at most 50 MB.
MOST_WORDS = 50_000
# Names of the arrays that a fit gives.
WORDS, WEIGHTS, COMPONENTS = "words", "idf", "components"


class TfidfSVDEncoder:
    """Words weighted by TF-IDF, reduced by a truncated SVD, rows of length 1 (Deerwester et al., 1990).

    Args:
        seed: seed of the SVD's random start; another seed gives other features.
    """

    name = "tfidf-svd"
    needs_fit = True
    max_dimension = 256

    def __init__(self, seed: int = 2020):
        self.seed = seed

    def fingerprint(self) -> dict[str, Any]:
        """Return all that decides the vectors: seed, sizes, and the version of scikit-learn, which computes them."""
        return {
            "encoder": self.name,
            "dimension": self.max_dimension,
            "most_words": MOST_WORDS,
            "seed": self.seed,
            "scikit_learn": sklearn.__version__,
        }

    def fit(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Return vocabulary, weights of words and components, with F = min(256, texts, words).

        The result does not depend on the number of threads.

        Returns:
            ``words``: the vocabulary in UTF-8, a word per line, as bytes; ``idf``: float32 [W]; ``components``: float32
            [F, W].
        """
        vectorizer = _vectorizer()
        weights_NW = vectorizer.fit_transform(texts)
        words = np.frombuffer("\n".join(vectorizer.get_feature_names_out()).encode(), dtype=np.uint8)
        dimension = min(self.max_dimension, *weights_NW.shape)
        components = np.ones((1, 1), dtype=np.float32)  # scikit-learn's SVD refuses a single column
        if weights_NW.shape[1] > 1:
            # With a single text, an unused statistic of the SVD is 0 / 0.
            with threadpool_limits(1), np.errstate(invalid="ignore"):
                components = TruncatedSVD(dimension, random_state=self.seed).fit(weights_NW).components_
        return {WORDS: words, WEIGHTS: vectorizer.idf_.astype(np.float32), COMPONENTS: components.astype(np.float32)}

    def encode(self, texts: list[str], fitted: dict[str, np.ndarray]) -> np.ndarray:
        """Return the vectors, float32 [N, F], in the space of a fit; a text without any of its words is all zero.

        Args:
            texts: N texts.
            fitted: result of :meth:`fit`, for these or other texts.

        Raises:
            FeatureError: ``fitted`` is not the result of a fit.
        """
        words = _words(fitted)
        vectorizer = _vectorizer(vocabulary=words)
        vectorizer.idf_ = fitted[WEIGHTS]
        weights_NW = sparse.csr_matrix(vectorizer.transform(texts), dtype=np.float32)
        return normalize(weights_NW @ np.ascontiguousarray(fitted[COMPONENTS].T)).astype(np.float32)


def _vectorizer(**settings) -> TfidfVectorizer:
    # The default pattern drops words of one character, which would leave some texts empty.
    return TfidfVectorizer(
        sublinear_tf=True, token_pattern=r"(?u)\w+", max_features=MOST_WORDS, dtype=np.float32, **settings
    )


def _words(fitted: dict[str, np.ndarray]) -> list[str]:
    """Return the vocabulary of a fit whose arrays belong together."""
    try:
        words = bytes(fitted[WORDS]).decode().split("\n")
        shapes = fitted[WEIGHTS].shape, fitted[COMPONENTS].shape
    except (KeyError, UnicodeDecodeError) as problem:
        raise FeatureError(f"what tfidf-svd was fitted to is incomplete: {problem}") from problem
    if len(set(words)) < len(words) or shapes[0] != (len(words),) or shapes[1][1:] != (len(words),):
        raise FeatureError(f"what tfidf-svd was fitted to is damaged: {len(words)} words, arrays of shapes {shapes}")
    return words
