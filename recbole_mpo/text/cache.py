"""The feature cache: finished matrices with their manifests, and the rows of unfinished encodings.

Shapes: N items, U distinct texts, F feature.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors.numpy import save_file

from recbole_mpo import __version__
from recbole_mpo.common.errors import FeatureError
from recbole_mpo.common.files import replacing_path, write_json
from recbole_mpo.text.feature_files import MATRIX_KEY, feature_hash, read_safetensors

logger = logging.getLogger(__name__)

CHUNK_SIZE = 512  # texts encoded between two writes of the partial store
# Changes with the form of the partial store, so that an older version's file is never read.
_FORMAT = 2
_HEADER_BYTES, _DIGEST_BYTES = 256, 32


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
        except (ValueError, KeyError, TypeError):
            return None


def _chunk_digest(start: int, body: bytes) -> bytes:
    return hashlib.sha256(f"{start} ".encode() + body).digest()


def load_cached(folder: Path, name: str, identity: dict[str, Any]) -> np.ndarray | None:
    """Return the stored features [N, F], or None if they are absent, damaged or made from other text or settings."""
    manifest_path, matrix_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    if not manifest_path.exists() and not matrix_path.exists():
        return None
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        changed = [key for key, value in identity.items() if manifest[key] != value]
        if changed:
            logger.info("%s was made from another %s; encoding again", matrix_path, " and ".join(changed))
            return None
        features = read_safetensors(matrix_path)
        if feature_hash(features) != manifest["features_sha256"]:
            raise FeatureError("the hash of the numbers is not the one in the manifest")
        return features
    except (OSError, ValueError, KeyError, TypeError, FeatureError) as error:
        logger.warning(
            "the cached features %s are damaged (%s: %s); encoding again", matrix_path, type(error).__name__, error
        )
        return None


def save_cached(folder: Path, name: str, identity: dict[str, Any], features: np.ndarray) -> None:
    """Write features [N, F] and their manifest, then delete the files of this encoder's interrupted encodings."""
    features = np.ascontiguousarray(features)
    manifest = {
        **identity,
        "dimension": features.shape[1],
        "features_sha256": feature_hash(features),
        "created_by": f"recbole_mpo {__version__}",
    }
    with replacing_path(folder / f"{name}.safetensors") as temporary:
        save_file({MATRIX_KEY: features}, temporary)
    write_json(folder / f"{name}.json", manifest)
    for leftover in folder.glob(f"{name}.{'[0-9a-f]' * 16}.partial"):
        leftover.unlink(missing_ok=True)
