"""How much of their words items share, as a sparse table, and what a run fits for it, which stays with the run.

The texts of a run's candidates decide vocabulary, frequencies and which entries the table has. Texts that come or
change later are projected, so that two items whose texts stayed share what they shared before.

Shapes: N candidates (row 0 is PAD), K items that only have text, W terms, R terms that are used.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
from scipy import sparse

from recbole_mpo.common.errors import FeatureError
from recbole_mpo.data.catalogue import hash_items
from recbole_mpo.data.pair_tables import Limits, product_rows, similar_vectors
from recbole_mpo.text.cache import hash_arrays, text_digests
from recbole_mpo.text.kept_arrays import load_arrays, save_arrays
from recbole_mpo.text.words import WordVectors, rare_terms

logger = logging.getLogger(__name__)

# Changes with how a table is computed, so that the file of an older version is not used.
VERSION = 1
# Multiplications of word vectors, about two minutes; a large catalogue leaves its most frequent words out.
MOST_PRODUCTS = 1_000_000_000
# What is fitted: name, type of numbers, number of axes.
FITTED = {
    "terms": (np.uint8, 1),
    "frequencies": (np.int32, 1),
    "text_digests": (np.uint8, 2),
    "text_sha256": (np.uint8, 1),
    "lowest": (np.float64, 1),
    "last": (np.int32, 1),
}
# The table, in CSR form.
STARTS, COLUMNS, VALUES = "starts", "columns", "values"


@dataclass(frozen=True)
class FittedWords:
    """What the texts of a run's candidates decide.

    Attributes:
        terms: [W] words and pairs of neighbouring words.
        frequencies: int32 [W] number of texts that have each term.
        digests: uint8 [N, 16] of the texts.
        text_hash: sha256 of all texts.
        limits: which entries each row of the table has.
    """

    terms: list[str]
    frequencies: np.ndarray
    digests: np.ndarray
    text_hash: str
    limits: Limits

    def vectors(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return the vectors [len(texts), R] of texts, without the most frequent terms of a large catalogue."""
        words = WordVectors.of_terms(self.terms, self.frequencies, len(self.digests))
        return words.of(texts)[:, rare_terms(self.frequencies, MOST_PRODUCTS)]

    def edited(self, texts: Sequence[str]) -> np.ndarray:
        """Return which of N texts are not those of the run, bool [N]."""
        return (text_digests(texts) != self.digests).any(axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name, for checkpoints."""
        parts = (
            np.frombuffer("\n".join(self.terms).encode(), dtype=np.uint8),
            self.frequencies,
            self.digests,
            np.frombuffer(bytes.fromhex(self.text_hash), dtype=np.uint8),
            self.limits.lowest,
            self.limits.last,
        )
        return {name: np.asarray(part, kind) for (name, (kind, _)), part in zip(FITTED.items(), parts, strict=True)}

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "FittedWords":
        """Return what :meth:`arrays` gave.

        Raises:
            FeatureError: it is not what a run fits.
        """
        for name, (kind, axes) in FITTED.items():
            if name not in arrays or arrays[name].dtype != kind or arrays[name].ndim != axes:
                raise FeatureError(f"what was fitted to the words of item texts has no usable part {name}")
        raw, frequencies, digests, sha256, lowest, last = (arrays[name] for name in FITTED)
        try:
            terms = bytes(raw).decode().split("\n") if len(raw) else []
        except UnicodeDecodeError as problem:
            raise FeatureError(f"the words that item texts were fitted to are not UTF-8: {problem}") from problem
        count, is_distinct = len(digests), len(set(terms)) == len(terms)
        sizes = len(frequencies), len(lowest), len(last), digests.shape[1], len(sha256)
        if sizes != (len(terms), count, count, 16, 32) or not is_distinct:
            raise FeatureError("what was fitted to the words of item texts is damaged: its parts do not fit together")
        if not np.isfinite(lowest).all() or (len(terms) and not 1 <= frequencies.min() <= frequencies.max() <= count):
            raise FeatureError("what was fitted to the words of item texts is damaged: it has impossible numbers")
        return cls(terms, frequencies, digests, bytes(sha256).hex(), Limits(lowest, last))


@dataclass(frozen=True)
class SharedWords:
    """The largest cosines of the words of texts; a text with itself counts 0.

    Attributes:
        table: float32 [N, N].
        fitted: what decides it.
    """

    table: sparse.csr_matrix
    fitted: FittedWords


def share_words(texts: Sequence[str], most: int, fitted: FittedWords | None = None) -> SharedWords:
    """Return the largest cosines of the words of texts.

    Args:
        texts: [N] texts of the candidates.
        most: number of cosines to keep per text. A text that was edited since a run has so many to all texts, and the
            others so many to edited ones beside those that they had.
        fitted: what that run fitted; by default it is fitted to these texts.
    """
    if fitted is None:
        return _fit(texts, most)
    vectors, edited = fitted.vectors(texts), fitted.edited(texts)
    if not edited.any():
        return SharedWords(similar_vectors(vectors, most).astype(np.float32), fitted)
    kept, changed = _rows_only(vectors, ~edited), _rows_only(vectors, edited)
    table = product_rows(kept, kept.T.tocsr(), most, itself=0, limits=fitted.limits)
    table += product_rows(kept, changed.T.tocsr(), most)
    table += product_rows(changed, vectors.T.tocsr(), most, itself=0)
    return SharedWords(table.astype(np.float32), fitted)


def _fit(texts: Sequence[str], most: int) -> SharedWords:
    words = WordVectors(texts)
    vectors = words.of(texts)
    frequencies = np.bincount(vectors.indices, minlength=vectors.shape[1]).astype(np.int32)
    table = similar_vectors(vectors[:, rare_terms(frequencies, MOST_PRODUCTS)], most)
    fitted = FittedWords(words.terms, frequencies, text_digests(texts), hash_items(texts), Limits.of(table, most))
    return SharedWords(table.astype(np.float32), fitted)


def _rows_only(matrix: sparse.csr_matrix, stays: np.ndarray) -> sparse.csr_matrix:
    """Return a matrix of the same shape, with some of its rows and zeros."""
    rest = matrix.copy()
    rest.data[~np.repeat(stays, np.diff(rest.indptr))] = 0.0
    rest.eliminate_zeros()
    return rest


def with_others(
    table: sparse.csr_matrix, texts: Sequence[str], others: Sequence[str], most: int, fitted: FittedWords
) -> sparse.csr_matrix:
    """Return a table [N + K, N + K] that also has items without interactions.

    Args:
        table: the table [N, N] of the candidates, which is not computed again.
        texts: [N] texts of the candidates.
        others: [K] texts of the others. Each has its ``most`` largest cosines, and a candidate so many to the others
            beside those to candidates.
        most: number of cosines to keep.
        fitted: what decided the table.
    """
    return with_more_vectors(table, fitted.vectors(texts), fitted.vectors(others), most)


def with_more_vectors(
    table: sparse.csr_matrix, own: sparse.csr_matrix, more: sparse.csr_matrix, most: int
) -> sparse.csr_matrix:
    """Return what :func:`with_others` does, from the words' vectors of candidates [N, R] and of others [K, R]."""
    of_others = product_rows(more, sparse.vstack([own, more]).T.tocsr(), most, itself=own.shape[0])
    of_own = sparse.hstack([table, product_rows(own, more.T.tocsr(), most)])
    return sparse.vstack([of_own, of_others], format="csr")


def read_or_share_words(
    folder: Path, texts: Sequence[str], most: int, fitted: FittedWords | None = None
) -> SharedWords:
    """Return what :func:`share_words` does, computed once and then read from ``<folder>/words-<most>.safetensors``.

    A file that is damaged, or was made from other texts or by another version, is made again.

    Args:
        folder: folder of the dataset in the cache.
        texts, most, fitted: as for :func:`share_words`.
    """
    if not any(texts):  # a catalogue without data
        return share_words(texts, most, fitted)
    path, identity = folder / f"words-{most}.safetensors", _identity(texts, most, fitted)
    shared = _from_arrays(load_arrays(path, identity), len(texts), path)
    if shared is not None:
        logger.info("the words that items share are read from %s", path)
        return shared
    shared = share_words(texts, most, fitted)
    identity["fitted_sha256"] = hash_arrays(shared.fitted.arrays())
    rows = {STARTS: shared.table.indptr.astype(np.int64), COLUMNS: shared.table.indices.astype(np.int32)}
    save_arrays(path, identity, {**shared.fitted.arrays(), **rows, VALUES: shared.table.data})
    logger.info("the words that items share are counted, and kept in %s", path)
    return shared


def _identity(texts: Sequence[str], most: int, fitted: FittedWords | None) -> dict:
    """Return what decides a table and what was fitted, as plain data."""
    text_hash = hash_items(texts)
    return {
        "version": VERSION,
        "scikit_learn": sklearn.__version__,
        "entries": most,
        "most_products": MOST_PRODUCTS,
        "text_sha256": text_hash,
        **({"fitted_to": text_hash} if fitted is None else {"fitted_sha256": hash_arrays(fitted.arrays())}),
    }


def _from_arrays(arrays: dict[str, np.ndarray] | None, count: int, path: Path) -> SharedWords | None:
    """Return what a file holds; None if there is none, or if it is not what this module writes."""
    if arrays is None:
        return None
    try:
        table = sparse.csr_matrix((arrays[VALUES], arrays[COLUMNS], arrays[STARTS]), shape=(count, count))
        table.check_format(full_check=True)
        if table.dtype != np.float32 or not np.isfinite(table.data).all() or (table.data < 0).any():
            raise ValueError("its cosines are not finite numbers from 0 up")
        fitted = FittedWords.of(arrays)
        if len(fitted.digests) != count:
            raise ValueError(f"it was fitted to {len(fitted.digests)} texts, not {count}")
        return SharedWords(table, fitted)
    except (KeyError, ValueError, TypeError, FeatureError) as problem:
        logger.warning("%s does not hold a table of words (%s); it is made again", path, problem)
        return None
