"""The feature cache: finished matrices with their manifests, written and read without a second copy in memory.

Shapes: N items, F feature.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from recbole_mpo import __version__
from recbole_mpo.common.errors import FeatureError
from recbole_mpo.common.files import replacing_path, write_json
from recbole_mpo.text.feature_files import MATRIX_KEY, feature_hash, read_safetensors
from recbole_mpo.text.matrix_files import RowSource, hash_matrix, map_matrix, write_matrix

logger = logging.getLogger(__name__)

# Name of the texts' digests in a cached file.
DIGESTS_KEY = "text_digests"
# What reading damaged JSON may end in; a recursion error comes from lists in lists.
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Stored:
    """The content of the cache for one encoder.

    Attributes:
        manifest: what the features were made from.
        features: [N, F] in the order of the text file; read-only where they are mapped from the file.
        digests: [N, 16] the beginning of the sha256 of each item's text; no rows if an older version stored it.
        fitted: what the encoder was fitted to, by name; empty for most encoders.
    """

    manifest: dict[str, Any]
    features: np.ndarray
    digests: np.ndarray
    fitted: dict[str, np.ndarray]

    def differences(self, identity: dict[str, Any]) -> list[str]:
        """Return the parts of an identity from which the features were not made."""
        return [key for key, value in identity.items() if self.manifest.get(key) != value]

    def rows_of_texts(self) -> dict[bytes, int]:
        """Return a row of the features by digest of its text."""
        return {digest.tobytes(): row for row, digest in enumerate(self.digests)}


def text_digests(texts: Iterable[str]) -> np.ndarray:
    """Return the first 16 bytes of the sha256 of each text, uint8 [N, 16]."""
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:16] for text in texts)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16)


def load_cached(folder: Path, name: str, mapped: bool = False) -> Stored | None:
    """Return what the cache holds of an encoder, or None if it is absent or damaged.

    Args:
        folder: folder of the dataset in the cache.
        name: name of the encoder.
        mapped: whether features are left on the disk, and read from there as they are used.
    """
    manifest_path, matrix_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    if not manifest_path.exists() and not matrix_path.exists():
        return None
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        features = map_matrix(matrix_path) if mapped else read_safetensors(matrix_path)
        kept = _kept_beside(matrix_path)
        features_sha256 = hash_matrix(matrix_path) if mapped else feature_hash(features)
        if features_sha256 != manifest["features_sha256"] or hash_arrays(kept) != manifest.get("kept_sha256"):
            raise FeatureError("the hash of the numbers is not the one in the manifest")
        digests = kept.pop(DIGESTS_KEY, np.empty((0, 16), dtype=np.uint8))
        return Stored(manifest, features, digests, kept)
    except (*DAMAGED, SafetensorError, FeatureError) as error:
        logger.warning(
            "the cached features %s are damaged (%s: %s); encoding again", matrix_path, type(error).__name__, error
        )
        return None


def _kept_beside(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a cached file other than the features."""
    with safe_open(path, framework="numpy") as file:
        return {key: file.get_tensor(key) for key in file.keys() if key != MATRIX_KEY}


def hash_arrays(arrays: dict[str, np.ndarray]) -> str | None:
    """Return a hash of named arrays; None of no arrays."""
    if not arrays:
        return None
    parts = [f"{name} {feature_hash(arrays[name])}" for name in sorted(arrays)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_stored(folder: Path, name: str, identity: dict[str, Any]) -> bool:
    """Return whether the manifest says that the features of this identity are stored; they are not read."""
    try:
        manifest = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return all(manifest.get(key) == value for key, value in identity.items())
    except DAMAGED:
        return False


def save_cached(
    folder: Path,
    name: str,
    identity: dict[str, Any],
    features: RowSource,
    digests: np.ndarray,
    fitted: dict[str, np.ndarray],
) -> None:
    """Write the fields of :class:`Stored`, then delete the files of this encoder's interrupted encodings."""
    kept = {DIGESTS_KEY: digests, **fitted}
    with replacing_path(folder / f"{name}.safetensors") as temporary:
        features_sha256 = write_matrix(temporary, features, kept)
    manifest = {
        **identity,
        "dimension": features.shape[1],
        "features_sha256": features_sha256,
        "kept_sha256": hash_arrays(kept),
        "created_by": f"recbole_mpo {__version__}",
    }
    write_json(folder / f"{name}.json", manifest)
    for leftover in folder.glob(f"{name}.{'[0-9a-f]' * 16}.partial"):
        leftover.unlink(missing_ok=True)
