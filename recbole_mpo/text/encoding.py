"""Encodes item texts to a feature matrix, with a cache.

Shapes: N items, U distinct texts, F feature.
"""

import hashlib
import json
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.common.progress import progress_bar
from recbole_mpo.text import cache
from recbole_mpo.text.cache import PartialStore, load_cached, save_cached
from recbole_mpo.text.encoders import TextEncoder
from recbole_mpo.text.item_text import ItemText, is_missing


def encode_items(
    item_text: ItemText,
    encoder: TextEncoder,
    cache_dir: str | Path,
    dataset_name: str,
    show_progress: bool = True,
) -> np.ndarray:
    """Return the feature matrix of the items, float32 [N, F] in file order, with zero rows for missing texts.

    The matrix is stored in ``<cache_dir>/<dataset_name>/<encoder.name>.safetensors`` with a manifest
    ``<encoder.name>.json``. If the texts or the encoder's fingerprint change, or the file is damaged, the texts are
    encoded again. Equal texts are encoded once and get equal rows, bit for bit. An interrupted encoding continues after
    its last complete chunk.

    Raises:
        DataError: no item has text, or the cache cannot be written.
        FeatureError: the encoder returns unusable vectors.
    """
    # Through JSON, so that the fingerprint compares equal with a stored one.
    fingerprint = json.loads(json.dumps(encoder.fingerprint()))
    identity = {"encoder": fingerprint, "text_sha256": text_hash(item_text), "rows": len(item_text)}
    folder = Path(cache_dir) / dataset_name
    cached = load_cached(folder, encoder.name, identity)
    if cached is not None:
        return cached
    _require_writable(folder)
    distinct_texts, rows_N = _distinct(item_text)
    vectors_UF = _encode_distinct(distinct_texts, encoder, folder, identity, show_progress)
    features_NF = vectors_UF[rows_N]
    features_NF[rows_N < 0] = 0.0
    with _stored_in(folder):
        save_cached(folder, encoder.name, identity, features_NF)
    return features_NF


@contextmanager
def _stored_in(folder: Path):
    """Tell in one line that the folder's disk is full or broken; what was stored so far is used the next time."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{folder}: cannot store item features there ({error}); make room or set another cache_dir"
        ) from error


def text_hash(item_text: ItemText) -> str:
    """Return the sha256 of tokens and texts, in order."""
    return hashlib.sha256(json.dumps([item_text.tokens, item_text.texts]).encode()).hexdigest()


def _require_writable(folder: Path):
    """Refuse a cache folder that cannot be written to, before an hour of encoding is lost."""
    with _stored_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def _distinct(item_text: ItemText) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts [U] in order of first appearance, and each item's index [N] in them, -1 if missing.

    Rounding differs between batches, so items with the same text would not tie exactly if it were encoded twice.
    """
    row_of_text: dict[str, int] = {}
    rows = [-1 if is_missing(text) else row_of_text.setdefault(text, len(row_of_text)) for text in item_text.texts]
    if not row_of_text:
        raise DataError(f"{item_text.source}: no item has a text with a letter or digit; there is nothing to encode")
    return list(row_of_text), np.asarray(rows)


def _encode_distinct(
    texts: list[str], encoder: TextEncoder, folder: Path, identity: dict[str, Any], show_progress: bool
) -> np.ndarray:
    """Return the vectors of distinct texts, float32 [U, F], and show a progress bar."""
    bar = partial(
        progress_bar,
        shown=show_progress,
        description=f"Encoding items ({encoder.name})",
        total=len(texts),
        unit="item",
    )
    if encoder.needs_whole_corpus:
        with bar() as progress:
            vectors = _encode_checked(encoder, texts)
            progress.update(len(texts))
        return vectors
    with PartialStore(folder, encoder.name, identity) as store:
        chunks = store.read(len(texts))
        done = sum(map(len, chunks))
        with bar(initial=done) as progress:
            for start in range(done, len(texts), cache.CHUNK_SIZE):
                chunks.append(_encode_checked(encoder, texts[start : start + cache.CHUNK_SIZE]))
                with _stored_in(folder):
                    store.write(start, chunks[-1])
                progress.update(len(chunks[-1]))
    return np.concatenate(chunks)


def _encode_checked(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    vectors = np.asarray(encoder.encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise FeatureError(f"encoder {encoder.name} returned shape {vectors.shape} for {len(texts)} texts")
    if not np.isfinite(vectors).all():
        raise FeatureError(f"encoder {encoder.name} returned numbers that are not finite")
    return vectors
