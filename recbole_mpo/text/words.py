"""Texts as weighted words, and which texts share words.

A sentence encoder blurs what words tell apart: sizes, part numbers, brands.

Shapes: N texts, W distinct terms (words and pairs of neighbouring words).
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

# Letters and digits of any script; one-letter words count.
WORD = r"[^\W_]+"


class WordVectors:
    """TF-IDF vectors of words and bigrams, of length one, with a vocabulary that is fitted once.

    A term counts 1 + ln(its frequency in the text), times its smoothed inverse document frequency. Terms of a single
    text are dropped, as no other text can share them.

    Args:
        texts: the texts that decide vocabulary and frequencies; capitals do not matter.
    """

    def __init__(self, texts: Sequence[str]):
        self._vectorizer = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        try:
            self._vectorizer.fit(texts)
        except ValueError:  # no two texts share a word
            self._vectorizer = None

    def of(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return the vectors [N, W] of texts, float64; a text without a known term is all zero."""
        if self._vectorizer is None:
            return sparse.csr_matrix((len(texts), 0))
        return self._vectorizer.transform(texts).tocsr()


def rare_terms(vectors_NW: sparse.csr_matrix, most_products: int) -> np.ndarray:
    """Return the terms without the most frequent, so that all inner products of the vectors take few multiplications.

    Args:
        vectors_NW: vectors of texts.
        most_products: largest number of multiplications, the sum of the squared document frequencies.
    """
    frequency_W = np.bincount(vectors_NW.indices, minlength=vectors_NW.shape[1])
    ascending = np.sort(frequency_W)
    few = int((np.cumsum(ascending.astype(np.float64) ** 2) <= most_products).sum())
    return np.flatnonzero(frequency_W < (ascending[few] if few < len(ascending) else np.inf))
