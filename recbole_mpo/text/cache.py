"""The feature cache: finished matrices with their manifests, and the rows of unfinished encodings.

Shapes: N items, U distinct texts, F feature.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recbole_mpo import __version__
from recbole_mpo.common.errors import FeatureError
from recbole_mpo.common.files import replacing_path, write_json
from recbole_mpo.text.feature_files import MATRIX_KEY, feature_hash, read_safetensors

logger = logging.getLogger(__name__)

# Name of the texts' digests in a cached file.
DIGESTS_KEY = "text_digests"
CHUNK_SIZE = 512  # texts encoded between two writes of the partial store
# Changes with the form of the partial store, so that an older version's file is never read.
_FORMAT = 3
_HEADER_BYTES, _DIGEST_BYTES = 256, 32
# What reading a damaged manifest may end in; a recursion error comes from lists in lists.
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class PartialStore:
    """Vectors of an unfinished encoding, in a file that survives if the process is killed.

    The file holds a header, then chunks: the float32 rows of ``CHUNK_SIZE`` texts (the last chunk may have fewer), and
    the sha256 of their number and bytes. The file's name and header contain a hash of all that decides the rows, so
    another text or encoder never uses them. Chunks go to fixed offsets, and the file is never shortened once it has
    rows: two processes that encode the same texts at the same time write the same bytes to the same places.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any]):
        # The chunk size is part of the key, because rounding depends on which texts share a batch.
        key = json.dumps([_FORMAT, identity, CHUNK_SIZE], sort_keys=True)
        self.key = hashlib.sha256(key.encode()).hexdigest()
        self.path = folder / f"{name}.{self.key[:16]}.partial"

    def __enter__(self) -> "PartialStore":
        self.file: BinaryIO = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        return self

    def __exit__(self, *exception) -> None:
        self.file.close()

    def read(self, n_texts: int) -> list[np.ndarray]:
        """Return the rows of the chunks before the first that is missing, incomplete or damaged, a chunk per array."""
        header = self.file.read(_HEADER_BYTES)
        dimension = self._dimension(header)
        if dimension is None:
            if header:
                self.file.truncate(0)
            return []
        chunks: list[np.ndarray] = []
        for start in range(0, n_texts, CHUNK_SIZE):
            rows = min(CHUNK_SIZE, n_texts - start)
            body, digest = self.file.read(4 * dimension * rows), self.file.read(_DIGEST_BYTES)
            if len(digest) < _DIGEST_BYTES:
                break
            if digest != _chunk_digest(start, body):
                # A killed process leaves a chunk without its digest, so this one has changed since.
                logger.warning("%s is damaged after %d texts; encoding again from there", self.path, start)
                break
            chunks.append(np.frombuffer(body, dtype=np.float32).reshape(rows, dimension))
        return chunks

    def write(self, start: int, vectors: np.ndarray) -> None:
        """Write the rows of texts ``start``, ``start + 1``, … and wait until they are on disk."""
        if start == 0:
            header = json.dumps({"key": self.key, "dimension": vectors.shape[1]}).encode()
            self.file.seek(0)
            self.file.write(header.ljust(_HEADER_BYTES))
        body = np.ascontiguousarray(vectors).tobytes()
        digests = start // CHUNK_SIZE * _DIGEST_BYTES
        self.file.seek(_HEADER_BYTES + start * vectors[0].nbytes + digests)
        self.file.write(body + _chunk_digest(start, body))
        self.file.flush()
        os.fsync(self.file.fileno())

    def _dimension(self, header: bytes) -> int | None:
        try:
            stored = json.loads(header)
            is_whole = len(header) == _HEADER_BYTES
            return int(stored["dimension"]) if is_whole and stored["key"] == self.key else None
        except DAMAGED:
            return None


def _chunk_digest(start: int, body: bytes) -> bytes:
    return hashlib.sha256(f"{start} ".encode() + body).digest()


@dataclass(frozen=True)
class Stored:
    """The content of the cache for one encoder.

    Attributes:
        manifest: what the features were made from.
        features: [N, F] in the order of the text file.
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


def load_cached(folder: Path, name: str) -> Stored | None:
    """Return what the cache holds of an encoder, or None if it is absent or damaged."""
    manifest_path, matrix_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    if not manifest_path.exists() and not matrix_path.exists():
        return None
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        features = read_safetensors(matrix_path)
        kept = _kept_beside(matrix_path)
        if feature_hash(features) != manifest["features_sha256"] or hash_arrays(kept) != manifest.get("kept_sha256"):
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


def save_cached(
    folder: Path,
    name: str,
    identity: dict[str, Any],
    features: np.ndarray,
    digests: np.ndarray,
    fitted: dict[str, np.ndarray],
) -> None:
    """Write the fields of :class:`Stored`, then delete the files of this encoder's interrupted encodings."""
    features = np.ascontiguousarray(features)
    # safetensors writes the memory of an array as it lies, whatever the order of its axes.
    kept = {name: np.ascontiguousarray(array) for name, array in {DIGESTS_KEY: digests, **fitted}.items()}
    manifest = {
        **identity,
        "dimension": features.shape[1],
        "features_sha256": feature_hash(features),
        "kept_sha256": hash_arrays(kept),
        "created_by": f"recbole_mpo {__version__}",
    }
    with replacing_path(folder / f"{name}.safetensors") as temporary:
        save_file({MATRIX_KEY: features, **kept}, temporary)
    write_json(folder / f"{name}.json", manifest)
    for leftover in folder.glob(f"{name}.{'[0-9a-f]' * 16}.partial"):
        leftover.unlink(missing_ok=True)
