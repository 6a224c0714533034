"""Encodes item texts to a feature matrix, with a cache.

Shapes: N items, U distinct texts, M of either, F feature.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.progress import progress_bar
from recbole_mpo.text.cache import Stored, hash_arrays, is_stored, load_cached, save_cached, text_digests
from recbole_mpo.text.encoders import FittedTextEncoder, TextEncoder
from recbole_mpo.text.item_text import ItemText, is_missing
from recbole_mpo.text.making_features import Making, checked, features_of_items, stored_in
from recbole_mpo.text.matrix_files import RowSource

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
    stored = stored_features(item_text, encoder, Path(cache_dir) / dataset_name, show_progress, fitted)
    return Encoded(stored.features, stored.fitted)


def stored_features(
    item_text: ItemText,
    encoder: TextEncoder | FittedTextEncoder,
    folder: Path,
    show_progress: bool = True,
    fitted: dict[str, np.ndarray] | None = None,
    mapped: bool = False,
    first: float = 0.0,
) -> Stored:
    """Return what the cache holds of these items, which are encoded before if it lacks them.

    Several processes may call this with the same arguments at once: each encodes chunks that no other is at, and all
    return the same. Without ``mapped`` the features are in memory; the file is made with neither.

    Args:
        item_text, encoder, show_progress, fitted: as for :func:`encode_items`.
        folder: folder of the dataset in the cache.
        mapped: whether the features stay on the disk, read-only.
        first: where among the texts to begin, as a share, so that processes do not meet at each chunk.

    Raises:
        DataError, FeatureError: as for :func:`encode_items`.
    """
    identity = _identity(item_text, encoder, fitted)
    stored = _stored_before(folder, encoder.name, identity, mapped)
    changed = _changed(stored, identity, folder)
    if stored is not None and not changed:
        return stored
    texts, rows_N = _distinct(item_text)
    _require_writable(folder)
    bar = partial(progress_bar, shown=show_progress, description=f"Encoding items ({encoder.name})", unit="item")
    digests = text_digests(item_text.texts)
    if encoder.needs_fit:
        vectors_UF, fitted = _encode_fitted(texts, encoder, fitted, bar)
        stored = Stored(identity, features_of_items(lambda rows: vectors_UF[rows], rows_N), digests, fitted)
        _save_fitted(stored, folder, encoder.name)
        return stored
    making = Making(encoder, folder, {**identity, "fitted_sha256": None}, rows_N, digests)
    making.make(texts, None if "encoder" in changed else stored, bar, first)
    return _made(folder, encoder.name, mapped)


def _stored_before(folder: Path, name: str, identity: dict[str, Any], mapped: bool) -> Stored | None:
    """Return what the cache holds; the manifest of a damaged matrix no longer says that it is there."""
    # Asked first: another process may store the features while this one reads.
    is_said_to_be_there = is_stored(folder, name, identity)
    stored = load_cached(folder, name, mapped)
    if stored is None and is_said_to_be_there:
        with stored_in(folder):
            (folder / f"{name}.json").unlink(missing_ok=True)
    return stored


def _save_fitted(stored: Stored, folder: Path, name: str):
    identity = stored.manifest | {"fitted_sha256": hash_arrays(stored.fitted)}
    with stored_in(folder):
        save_cached(folder, name, identity, RowSource.of(stored.features), stored.digests, stored.fitted)


def _made(folder: Path, name: str, mapped: bool) -> Stored:
    """Return what was just stored."""
    made = load_cached(folder, name, mapped)
    if made is None:
        raise DataError(f"{folder}: the item features that were stored there cannot be read; set another cache_dir")
    # The reader of safetensors leaves numbers in the file until they are used.
    return made if mapped else replace(made, features=made.features.copy())


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


def text_hash(item_text: ItemText) -> str:
    """Return the sha256 of tokens and texts, in order."""
    return hashlib.sha256(json.dumps([item_text.tokens, item_text.texts]).encode()).hexdigest()


def _require_writable(folder: Path):
    """Refuse a cache folder that cannot be written to, before an hour of encoding is lost."""
    with stored_in(folder):
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
        vectors_UF = checked(encoder, encoder.encode(texts, fitted), len(texts))
        progress.update(len(texts))
    return vectors_UF, fitted
