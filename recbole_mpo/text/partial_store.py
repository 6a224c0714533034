"""Vectors of an unfinished encoding on disk, which several processes make together and a kill does not lose.

Shapes: U texts, M of them, F feature.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recbole_mpo.common.errors import DataError, FeatureError
from recbole_mpo.text.cache import DAMAGED

logger = logging.getLogger(__name__)

CHUNK_SIZE = 512  # texts of a chunk: encoded and written at once
# Changes with the form of the file, so that an older version's file is never read.
_FORMAT = 3
_HEADER_BYTES, _DIGEST_BYTES, _NUMBER_BYTES = 256, 32, 4
# A place behind any text, for the claim of what is done when all chunks are there.
END = 1 << 60


class PartialStore:
    """Vectors of texts by chunk, in a file that survives if the process is killed.

    The file holds a header, then chunks: the float32 rows of ``CHUNK_SIZE`` texts (the last chunk may have fewer), and
    the sha256 of their number and bytes. The file's name and header contain a hash of all that decides the rows, so
    another text or encoder never uses them. Chunks go to fixed offsets, and the file is never shortened, even if it is
    damaged: processes that encode the same texts at the same time write the same bytes to the same places.

    A process claims a chunk by a record lock of the system on a byte of the file, which ends with the process.

    Args:
        folder: where the file is.
        name: name of the encoder.
        identity: what decides the rows, as plain data.
        count: U, the number of texts.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any], count: int):
        # The chunk size is part of the key, because rounding depends on which texts share a batch.
        key = json.dumps([_FORMAT, identity, CHUNK_SIZE], sort_keys=True)
        self.key = hashlib.sha256(key.encode()).hexdigest()
        self.path = folder / f"{name}.{self.key[:16]}.partial"
        self.count = count
        self._dimension: int | None = None

    def __enter__(self) -> "PartialStore":
        self.file: BinaryIO = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        return self

    def __exit__(self, *exception) -> None:
        self.file.close()

    @property
    def starts(self) -> range:
        """Number of the first text of each chunk."""
        return range(0, self.count, CHUNK_SIZE)

    @property
    def dimension(self) -> int | None:
        """F; None before the first chunk."""
        if self._dimension is None:
            header = os.pread(self.file.fileno(), _HEADER_BYTES, 0)
            try:
                stored = json.loads(header)
                if len(header) == _HEADER_BYTES and stored["key"] == self.key:
                    self._dimension = int(stored["dimension"])
            except DAMAGED:
                pass
        return self._dimension

    def rows_from(self, start: int) -> int:
        """Return the number of texts of a chunk."""
        return min(CHUNK_SIZE, self.count - start)

    @contextmanager
    def claimed(self, start: int, waits: bool = False) -> Iterator[bool]:
        """Yield whether this process alone holds a chunk, or ``END``, in the block.

        Args:
            start: number of the chunk's first text.
            waits: whether to wait until others have let go of it.
        """
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB), 1, start)
        except (BlockingIOError, PermissionError):
            yield False
            return
        except OSError:
            # The file system has no locks. Processes may do the same work, and write the same.
            yield True
            return
        try:
            yield True
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, start)

    def holds(self, start: int) -> bool:
        """Return whether a chunk is there, complete and undamaged."""
        return self._body(start) is not None

    def _body(self, start: int) -> bytes | None:
        """Return the bytes of a chunk's rows; None if it is not there, or not whole."""
        dimension, rows = self.dimension, self.rows_from(start)
        if dimension is None:
            return None
        length = _NUMBER_BYTES * dimension * rows
        body = os.pread(self.file.fileno(), length + _DIGEST_BYTES, self._offset(start))
        body, digest = body[:length], body[length:]
        # A killed process leaves a chunk without its digest; before later chunks there are zeros.
        if len(digest) < _DIGEST_BYTES or not any(digest):
            return None
        if digest != _chunk_digest(start, body):
            logger.warning("%s is damaged after %d texts; encoding these again", self.path, start)
            return None
        return body

    def write(self, start: int, vectors_MF: np.ndarray) -> None:
        """Write the rows of texts ``start``, ``start + 1``, … and wait until they are on disk.

        Raises:
            FeatureError: earlier rows have another dimension.
        """
        if self.dimension is None:
            # Processes that come here at once write the same.
            header = json.dumps({"key": self.key, "dimension": vectors_MF.shape[1]}).encode()
            self._write(header.ljust(_HEADER_BYTES), 0)
        if vectors_MF.shape[1] != self.dimension:
            raise FeatureError(
                f"{self.path}: rows of {vectors_MF.shape[1]} numbers, but earlier ones have {self.dimension}; delete it"
            )
        body = np.ascontiguousarray(vectors_MF).tobytes()
        self._write(body + _chunk_digest(start, body), self._offset(start))
        os.fsync(self.file.fileno())

    def read(self, numbers_M: np.ndarray) -> np.ndarray:
        """Return the rows [M, F] of some texts, whose chunks must be there, by their numbers in any order.

        Raises:
            DataError: a chunk is not there, or damaged.
        """
        chunks_M, places_M = np.divmod(np.asarray(numbers_M, dtype=np.int64), CHUNK_SIZE)
        rows_MF = np.empty((len(chunks_M), self.dimension), dtype=np.float32)
        # Read and not mapped: a second handle that is closed would free what this process claims.
        for chunk in np.unique(chunks_M):
            start = int(chunk) * CHUNK_SIZE
            body = self._body(start)
            if body is None:
                raise DataError(f"{self.path} has lost texts from number {start} on; give the same command again")
            is_here_M = chunks_M == chunk
            rows_MF[is_here_M] = np.frombuffer(body, dtype=np.float32).reshape(-1, self.dimension)[places_M[is_here_M]]
        return rows_MF

    def _offset(self, start: int) -> int:
        chunk = _NUMBER_BYTES * self.dimension * CHUNK_SIZE + _DIGEST_BYTES
        return _HEADER_BYTES + start // CHUNK_SIZE * chunk

    def _write(self, content: bytes, offset: int):
        view = memoryview(content)
        while view:
            written = os.pwrite(self.file.fileno(), view, offset)
            view, offset = view[written:], offset + written


def _chunk_digest(start: int, body: bytes) -> bytes:
    return hashlib.sha256(f"{start} ".encode() + body).digest()
