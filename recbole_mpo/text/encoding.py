"""Encodes item texts to a feature matrix, with a cache.

Shapes: N items, U distinct texts, F feature.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.common.progress import progress_bar
from recbole_mpo.text import cache
from recbole_mpo.text.cache import PartialStore, Stored, hash_arrays, load_cached, save_cached, text_digests
from recbole_mpo.text.encoders import FittedTextEncoder, TextEncoder
from recbole_mpo.text.item_text import ItemText, is_missing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """The features of item texts.

    Attributes:
        features: float32 [N, F] in file order, with zero rows for missing texts.
        fitted: what the encoder was fitted to, by name; empty for most encoders.
    """

    features: np.ndarray
    fitted: dict[str, np.ndarray]


def encode_items(
    item_text: ItemText,
    encoder: TextEncoder | FittedTextEncoder,
    cache_dir: str | Path,
    dataset_name: str,
    show_progress: bool = True,
    fitted: dict[str, np.ndarray] | None = None,
) -> Encoded:
    """Return the features of items, which are encoded once and then read from a cache.

    The cache is ``<cache_dir>/<dataset_name>/<encoder.name>.safetensors`` with a manifest, ``.json``. If the encoder's
    fingerprint changes, or the file is damaged, all texts are encoded again; if texts change or are added, only those,
    so the others keep their rows bit for bit. Equal texts are encoded once and get equal rows. An interrupted encoding
    continues after its last complete chunk.

    Args:
        item_text: tokens and texts of N items.
        encoder: the encoder.
        cache_dir, dataset_name: folder of the cache, and name of the folder in it.
        show_progress: whether to show a progress bar on a terminal.
        fitted: the fit to use, for an encoder that is fitted; by default it is fitted to these texts.

    Raises:
        DataError: no item has text, or the cache cannot be written.
        FeatureError: the encoder returns unusable vectors, or ``fitted`` is unusable.
    """
    identity = _identity(item_text, encoder, fitted)
    folder = Path(cache_dir) / dataset_name
    stored = load_cached(folder, encoder.name)
    changed = _changed(stored, identity, folder)
    if stored is not None and not changed:
        return Encoded(stored.features, stored.fitted)
    texts, rows_N = _distinct(item_text)
    _require_writable(folder)
    bar = partial(progress_bar, shown=show_progress, description=f"Encoding items ({encoder.name})", unit="item")
    if encoder.needs_fit:
        vectors_UF, fitted = _encode_fitted(texts, encoder, fitted, bar)
    else:
        vectors_UF, fitted = _encode_new(texts, encoder, folder, None if "encoder" in changed else stored, bar), {}
    encoded = Encoded(_rows_of_items(vectors_UF, rows_N), fitted)
    identity["fitted_sha256"] = hash_arrays(fitted)
    with _stored_in(folder):
        save_cached(folder, encoder.name, identity, encoded.features, text_digests(item_text.texts), fitted)
    return encoded


def _rows_of_items(vectors_UF: np.ndarray, rows_N: np.ndarray) -> np.ndarray:
    """Return the features [N, F] of items from those of distinct texts; zeros where the row is -1."""
    features_NF = vectors_UF[rows_N]
    features_NF[rows_N < 0] = 0.0
    return features_NF


def _identity(item_text: ItemText, encoder, fitted: dict[str, np.ndarray] | None) -> dict[str, Any]:
    """Return what decides the features, as it is stored in the manifest."""
    texts = text_hash(item_text)
    identity = {"encoder": _fingerprint(encoder), "text_sha256": texts, "rows": len(item_text)}
    if not encoder.needs_fit:
        return identity
    return identity | ({"fitted_to": texts} if fitted is None else {"fitted_sha256": hash_arrays(fitted)})


def _changed(stored: Stored | None, identity: dict[str, Any], folder: Path) -> list[str]:
    """Return the parts of the identity that are not those of the cache, and log them."""
    changed = [] if stored is None else stored.differences(identity)
    if changed:
        logger.info("the features in %s were made from another %s", folder, " and ".join(changed))
    return changed


def _fingerprint(encoder) -> dict[str, Any]:
    # Through JSON, so that the fingerprint compares equal with a stored one.
    return json.loads(json.dumps(encoder.fingerprint()))


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


def _encode_fitted(
    texts: list[str], encoder: FittedTextEncoder, fitted: dict[str, np.ndarray] | None, bar: Callable[..., Any]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the vectors of distinct texts, float32 [U, F], and the fit; the encoder is fitted if none is given."""
    with bar(total=len(texts)) as progress:
        fitted = encoder.fit(texts) if fitted is None else fitted
        vectors_UF = _checked(encoder, encoder.encode(texts, fitted), len(texts))
        progress.update(len(texts))
    return vectors_UF, fitted


def _encode_new(
    texts: list[str], encoder: TextEncoder, folder: Path, stored: Stored | None, bar: Callable[..., Any]
) -> np.ndarray:
    """Return the vectors of distinct texts, float32 [U, F]; those that are stored are not encoded again.

    Rounding differs between batches: a vector that is computed twice may differ in its last bits.
    """
    row_of_digest = {} if stored is None else stored.rows_of_texts()
    rows_U = np.array([row_of_digest.get(digest.tobytes(), -1) for digest in text_digests(texts)])
    new = [text for text, row in zip(texts, rows_U, strict=True) if row < 0]
    if len(new) == len(texts):
        return _encode_in_chunks(texts, encoder, folder, bar)
    vectors_UF = stored.features[rows_U]
    if new:
        logger.info("%d of %d texts are new or changed; the others are read from the cache", len(new), len(texts))
        vectors_UF[rows_U < 0] = _encode_in_chunks(new, encoder, folder, bar)
    return vectors_UF


def _encode_in_chunks(texts: list[str], encoder: TextEncoder, folder: Path, bar: Callable[..., Any]) -> np.ndarray:
    """Return the vectors of texts, float32 [U, F], and keep finished chunks on disk."""
    texts_sha256 = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    identity = {"encoder": _fingerprint(encoder), "texts_sha256": texts_sha256}
    with PartialStore(folder, encoder.name, identity) as store:
        chunks = store.read(len(texts))
        done = sum(map(len, chunks))
        with bar(initial=done, total=len(texts)) as progress:
            for start in range(done, len(texts), cache.CHUNK_SIZE):
                part = texts[start : start + cache.CHUNK_SIZE]
                chunks.append(_checked(encoder, encoder.encode(part), len(part)))
                with _stored_in(folder):
                    store.write(start, chunks[-1])
                progress.update(len(chunks[-1]))
    return np.concatenate(chunks)


def _checked(encoder: TextEncoder | FittedTextEncoder, vectors, count: int) -> np.ndarray:
    """Return an encoder's vectors of ``count`` texts as float32 [count, F]."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != count:
        raise FeatureError(f"encoder {encoder.name} returned shape {vectors.shape} for {count} texts")
    if not np.isfinite(vectors).all():
        raise FeatureError(f"encoder {encoder.name} returned numbers that are not finite")
    return vectors
