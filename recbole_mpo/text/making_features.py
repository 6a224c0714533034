"""Makes one matrix of the feature cache: encodes what is not stored, with other processes, and writes it row by row.

Shapes: N items, U distinct texts, M of either, F feature.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text.cache import Stored, is_stored, save_cached, text_digests
from recbole_mpo.text.encoders import FittedTextEncoder, TextEncoder
from recbole_mpo.text.matrix_files import RowSource
from recbole_mpo.text.partial_store import END, PartialStore

logger = logging.getLogger(__name__)

# Between two looks at chunks that other processes are at.
WAIT_SECONDS = 0.5


@contextmanager
def stored_in(folder: Path):
    """Tell in one line that the folder's disk is full or broken; what was stored so far is used the next time."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{folder}: cannot store item features there ({error}); make room or set another cache_dir"
        ) from error


def features_of_items(vectors_of: Callable[[np.ndarray], np.ndarray], rows_M: np.ndarray) -> np.ndarray:
    """Return the features [M, F] of items from those of distinct texts; zeros where the row is -1.

    Args:
        vectors_of: a function from numbers of texts [M] to their vectors [M, F].
        rows_M: number of each item's text.
    """
    features_MF = vectors_of(np.maximum(rows_M, 0))
    features_MF[rows_M < 0] = 0.0
    return features_MF


@dataclass(frozen=True)
class Making:
    """The making of one cached matrix by an encoder that is not fitted.

    Attributes:
        encoder: the encoder.
        folder: folder of the dataset in the cache.
        identity: what decides the features.
        rows_N: each item's number among the distinct texts; -1 without text.
        digests: digests of the items' texts.
    """

    encoder: TextEncoder
    folder: Path
    identity: dict[str, Any]
    rows_N: np.ndarray
    digests: np.ndarray

    def make(self, texts: list[str], stored: Stored | None, bar: Callable[..., Any], first: float):
        """Write the matrix; vectors that are stored are not encoded again.

        Rounding differs between batches: a vector that is computed twice may differ in its last bits.

        Args:
            texts: the distinct texts [U].
            stored: an earlier matrix of the encoder.
            bar: makes a progress bar.
            first: where among the new texts to begin, as a share.
        """
        row_of_digest = {} if stored is None else stored.rows_of_texts()
        rows_U = np.array([row_of_digest.get(digest.tobytes(), -1) for digest in text_digests(texts)])
        new = [text for text, row in zip(texts, rows_U, strict=True) if row < 0]
        if not new:
            self._save(lambda numbers_M: stored.features[rows_U[numbers_M]], stored.features.shape[1])
            return
        if len(new) < len(texts):
            logger.info("%d of %d texts are new or changed; the others are read from the cache", len(new), len(texts))
        number_U = np.cumsum(rows_U < 0) - 1
        texts_sha256 = hashlib.sha256(json.dumps(new).encode()).hexdigest()
        key = {"encoder": self.identity["encoder"], "texts_sha256": texts_sha256}
        with PartialStore(self.folder, self.encoder.name, key, len(new)) as store:
            # Others may have finished before this process opened the file.
            if is_stored(self.folder, self.encoder.name, self.identity):
                return
            _encode_chunks(new, self.encoder, store, bar, first)

            def vectors_of(numbers_M: np.ndarray) -> np.ndarray:
                is_new_M = rows_U[numbers_M] < 0
                vectors_MF = np.empty((len(numbers_M), store.dimension), dtype=np.float32)
                vectors_MF[is_new_M] = store.read(number_U[numbers_M[is_new_M]])
                if not is_new_M.all():
                    vectors_MF[~is_new_M] = stored.features[rows_U[numbers_M[~is_new_M]]]
                return vectors_MF

            with store.claimed(END, waits=True):
                if not is_stored(self.folder, self.encoder.name, self.identity):
                    # What the disk has lost since would become zeros, and stay in the cache.
                    _encode_chunks(new, self.encoder, store, bar, first)
                    self._save(vectors_of, store.dimension)

    def _save(self, vectors_of: Callable[[np.ndarray], np.ndarray], dimension: int):
        rows = RowSource(
            (len(self.rows_N), dimension), lambda begin, end: features_of_items(vectors_of, self.rows_N[begin:end])
        )
        with stored_in(self.folder):
            save_cached(self.folder, self.encoder.name, self.identity, rows, self.digests, {})


def _encode_chunks(texts: list[str], encoder: TextEncoder, store: PartialStore, bar: Callable[..., Any], first: float):
    """Encode the texts of all chunks that a store lacks; of those that another process is at wait for it."""
    missing = [start for start in store.starts if not store.holds(start)]
    if not missing:
        return
    done = len(texts) - sum(map(store.rows_from, missing))
    turn = round(first * len(missing))
    missing = missing[turn:] + missing[:turn]
    with bar(initial=done, total=len(texts)) as progress:
        while missing:
            left = []
            for start in missing:
                with store.claimed(start) as is_mine:
                    if not is_mine:
                        left.append(start)
                        continue
                    if not store.holds(start):
                        part = texts[start : start + store.rows_from(start)]
                        vectors_MF = checked(encoder, encoder.encode(part), len(part))
                        with stored_in(store.path.parent):
                            store.write(start, vectors_MF)
                    progress.update(store.rows_from(start))
            missing = left
            if missing:
                time.sleep(WAIT_SECONDS)


def checked(encoder: TextEncoder | FittedTextEncoder, vectors, count: int) -> np.ndarray:
    """Return an encoder's vectors of ``count`` texts as float32 [count, F]."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != count:
        raise FeatureError(f"encoder {encoder.name} returned shape {vectors.shape} for {count} texts")
    if not np.isfinite(vectors).all():
        raise FeatureError(f"encoder {encoder.name} returned numbers that are not finite")
    return vectors
