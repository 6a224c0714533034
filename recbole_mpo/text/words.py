"""Texts as weighted words, with a vocabulary that is fitted once.

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
        self._vectorizer = _vectorizer(min_df=2)
        try:
            self._vectorizer.fit(texts)
        except ValueError:  # no two texts share a word
            self._vectorizer = None

    @classmethod
    def of_terms(cls, terms: Sequence[str], frequencies_W: np.ndarray, count: int) -> "WordVectors":
        """Return the vectors of an earlier fit.

        Args:
            terms: its terms [W], distinct.
            frequencies_W: number of texts that have each term.
            count: number of texts that it was fitted to.
        """
        vectors = cls(())
        if len(terms):
            vectors._vectorizer = _vectorizer(vocabulary=terms)
            vectors._vectorizer.idf_ = np.log((1.0 + count) / (1.0 + frequencies_W)) + 1.0
        return vectors

    @property
    def terms(self) -> list[str]:
        """Return the terms [W], in the order of the vectors' columns."""
        return [] if self._vectorizer is None else self._vectorizer.get_feature_names_out().tolist()

    def of(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return the vectors [N, W] of texts, float64; a text without a known term is all zero."""
        if self._vectorizer is None:
            return sparse.csr_matrix((len(texts), 0))
        return self._vectorizer.transform(texts).tocsr()


def _vectorizer(**settings) -> TfidfVectorizer:
    return TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True, **settings)


def rare_terms(frequencies_W: np.ndarray, most_products: int) -> np.ndarray:
    """Return the terms without the most frequent, so that all inner products of the vectors take few multiplications.

    Args:
        frequencies_W: number of texts that have each term.
        most_products: largest number of multiplications, the sum of the squared frequencies.
    """
    ascending = np.sort(frequencies_W)
    few = int((np.cumsum(ascending.astype(np.float64) ** 2) <= most_products).sum())
    return np.flatnonzero(frequencies_W < (ascending[few] if few < len(ascending) else np.inf))
