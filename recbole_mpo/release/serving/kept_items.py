"""Items that were added to a served model, kept over a restart: a file of JSON lines that only grows.

A line is ``{"item": token, "text": text}``. It is on the disk before the request that added it is answered. A process
that is killed may leave a last line without its end; it was never answered, and is dropped.
"""

import errno
import json
import logging
import os
from pathlib import Path

from filelock import FileLock, Timeout

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import sync_folder

LOG = logging.getLogger(__name__)


class KeptItems:
    """The file of one model's added items.

    Args:
        path: the file; it need not exist.

    Raises:
        DataError: the file cannot be read, or a line before its last one is malformed.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        # Taken and given back by different threads.
        self._lock = FileLock(f"{self.path}.lock", thread_local=False)
        self._file = None
        self.texts, self._size = self._read()

    def _read(self) -> tuple[dict[str, str], int]:
        """Return the texts by token, and the bytes of the whole lines."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}, 0
        except OSError as problem:
            raise DataError(f"added items {self.path} cannot be read: {problem.strerror}") from problem
        lines = content.split(b"\n")
        torn = lines.pop()
        if torn:
            LOG.warning("%s: dropped a last line of %d bytes that was not written whole", self.path, len(torn))
        texts = dict(self._parse(line, number) for number, line in enumerate(lines, start=1))
        return texts, len(content) - len(torn)

    def _parse(self, line: bytes, number: int) -> tuple[str, str]:
        try:
            entry = json.loads(line)
            token, text = entry["item"], entry["text"]
        except (ValueError, TypeError, KeyError, RecursionError) as problem:
            raise self._malformed(number) from problem
        if not isinstance(token, str) or not isinstance(text, str):
            raise self._malformed(number)
        return token, text

    def _malformed(self, number: int) -> DataError:
        form = '{"item": …, "text": …}'
        return DataError(f"{self.path}, line {number}: not {form}; correct the line, or move the file away")

    def write(self, texts: dict[str, str]):
        """Append items; they are on the disk when this returns, all of them or, after an error, none.

        Args:
            texts: texts by token.

        Raises:
            DataError: another server writes the file.
            OSError: the file cannot be written.
        """
        if not texts:
            return
        file = self._file or self._open()
        lines = (json.dumps({"item": token, "text": text}, ensure_ascii=False) + "\n" for token, text in texts.items())
        content = "".join(lines).encode("utf-8")
        try:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(file.fileno())
        except OSError:
            # A part of a line before the next one would be a malformed line.
            file.truncate(self._size)
            raise
        self._size += len(content)
        self.texts.update(texts)

    def _open(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as problem:
            raise DataError(
                f"{self.path} is written by another server; give each a --state_dir of its own"
            ) from problem
        # Another server may have written since this one read.
        self.texts, self._size = self._read()
        self._file = open(self.path, "ab", buffering=0)
        self._file.truncate(self._size)
        sync_folder(self.path.parent)
        return self._file

    def close(self):
        """Close the file, for another server to write."""
        if self._file:
            self._file.close()
            self._file = None
        self._lock.release()
