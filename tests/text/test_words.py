"""Texts as weighted words against the formula written out term by term."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from recbole_mpo.text.words import WordVectors, rare_terms

TEXTS = [
    "",
    "Red lamp, 3 W; red LAMP",
    "A red lamp 5 W",
    "a glass_cup 5 x",
    "größe 5 Glass",
    "??",
    "nothing shared here",
]


def terms(text: str) -> Counter:
    """Words and pairs of neighbouring words, lower-cased; one-letter words count, an underscore parts words."""
    words = re.findall(r"[^\W_]+", text.lower())
    return Counter([*words, *map(" ".join, zip(words, words[1:], strict=False))])


def vectors_by_loop(texts, of=None) -> list[dict[str, float]]:
    """(1 + ln tf) (ln((1 + N) / (1 + df)) + 1) of the terms that two texts or more have, over the vector's length."""
    frequency = Counter(term for text in texts for term in terms(text))
    frequency = {term: sum(term in terms(text) for text in texts) for term in frequency}
    found = []
    for text in texts if of is None else of:
        weights = {
            term: (1 + math.log(count)) * (math.log((1 + len(texts)) / (1 + frequency[term])) + 1)
            for term, count in terms(text).items()
            if frequency.get(term, 0) >= 2
        }
        length = math.hypot(*weights.values())
        found.append({term: weight / length for term, weight in weights.items()})
    return found


def cosines(vectors) -> np.ndarray:
    return np.array([[sum(w * other.get(term, 0) for term, w in one.items()) for other in vectors] for one in vectors])


def test_cosines_are_those_of_the_formula():
    vectors = WordVectors(TEXTS).of(TEXTS)
    expected = vectors_by_loop(TEXTS)
    assert vectors.dtype == np.float64 and vectors.format == "csr"
    assert vectors.shape == (7, len({term for one in expected for term in one}))
    np.testing.assert_allclose((vectors @ vectors.T).toarray(), cosines(expected), atol=1e-12)
    assert (vectors @ vectors.T).diagonal() == pytest.approx([0, 1, 1, 1, 1, 0, 0])
    # One-letter words, numbers, other scripts and capitals.
    assert {"5", "a", "red", "red lamp", "glass", "w"} <= {term for one in expected for term in one}


def test_other_texts_are_projected_on_the_vocabulary():
    others = ["lamp lamp chair", "größe größe"]
    vectors = WordVectors(TEXTS)
    both = vectors.of([*TEXTS, *others])
    np.testing.assert_allclose(
        (both @ both.T).toarray(), cosines(vectors_by_loop(TEXTS, [*TEXTS, *others])), atol=1e-12
    )
    assert both[-1].nnz == 0, "a word of one text alone is in no vocabulary"
    assert (vectors.of(TEXTS) != both[: len(TEXTS)]).nnz == 0


def test_terms_and_frequencies_give_the_same_vectors_again():
    """To the last bit, so that a table can be counted again."""
    fitted = WordVectors(TEXTS)
    vectors = fitted.of(TEXTS)
    frequencies = np.bincount(vectors.indices, minlength=vectors.shape[1])
    again = WordVectors.of_terms(fitted.terms, frequencies, len(TEXTS))
    others = [*TEXTS, "lamp größe unknown"]
    assert again.terms == fitted.terms and {"red lamp", "größe"} & {*fitted.terms} == {"red lamp"}
    assert (again.of(others) != fitted.of(others)).nnz == 0
    assert WordVectors.of_terms([], np.zeros(0), 3).of(TEXTS).shape == (7, 0)


@pytest.mark.parametrize("texts", [[""], ["", "", ""], ["??", "!!"], ["red lamp", "blue cup"], []])
def test_texts_that_share_no_word_have_vectors_without_columns(texts):
    vectors = WordVectors(texts).of([*texts, "red"])
    assert vectors.shape == (len(texts) + 1, 0) and vectors.format == "csr"


@pytest.mark.parametrize(
    ("frequencies", "most", "kept"),
    [
        # Products 1, 4, 9 and 16.
        ([1, 4, 3, 2], 30, [0, 1, 2, 3]),
        ([1, 4, 3, 2], 29, [0, 2, 3]),
        ([1, 4, 3, 2], 14, [0, 2, 3]),
        ([1, 4, 3, 2], 13, [0, 3]),
        ([1, 4, 3, 2], 4, [0]),
        ([1, 4, 3, 2], 0, []),
        # Terms of one frequency stay or go together.
        ([2, 4, 2, 2], 27, [0, 2, 3]),
        ([2, 4, 2, 2], 11, []),
        ([], 0, []),
    ],
)
def test_the_most_frequent_terms_go_first(frequencies, most, kept):
    assert rare_terms(np.array(frequencies, dtype=np.int32), most).tolist() == kept
