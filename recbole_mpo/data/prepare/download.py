"""Downloads that continue after an interruption, and are used only when complete.

An incomplete file is ``<file>.<address>.part``, and a ``.version`` file next to it identifies the served version. A
complete file has a ``<file>.json`` that records its address, size and sha256.
"""

import fcntl
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash, write_json
from recbole_mpo.common.progress import progress_bar

TIMEOUT_SECONDS = 30
# How many attempts in a row may fail without receiving anything, and the pause after the first, which grows.
ATTEMPTS, PAUSE_SECONDS = 3, 1.0
BLOCK_BYTES = 1 << 20
_NETWORK_ERRORS = (OSError, http.client.HTTPException)
_PASSING_CODES = (416, 429, 500, 502, 503, 504)


class Unreachable(DataError):
    """A file cannot be downloaded from any address; the part that was received is kept."""


class _Partial:
    """The part of a file that has been received from one address."""

    def __init__(self, path: Path, address: str):
        name = f"{path.name}.{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self.path, self.note = path.with_name(f"{name}.part"), path.with_name(f"{name}.version")

    @property
    def size(self) -> int:
        """Return the number of bytes received."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str | None:
        """Return the version of the served file that the bytes belong to, or None."""
        return self.note.read_text(encoding="utf-8", errors="replace") if self.note.is_file() and self.size else None

    def begin(self, version: str | None):
        """Start again, with this version of the served file."""
        self.drop()
        if version:
            self.note.write_text(version, encoding="utf-8")

    def drop(self):
        """Delete the part and its version."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(file: str, addresses: list[str], folder: Path, sha256: str | None = None, show_progress=True) -> Path:
    """Return ``folder/<last part of file>``; if it is missing, download it from the first address that serves it.

    Args:
        file: path relative to an address.
        addresses: base addresses, tried in order.
        folder: folder for the file.
        sha256: expected hash; by default an existing file must have the hash that was recorded when it was downloaded.
        show_progress: whether to show a progress bar.

    Raises:
        Unreachable: no address serves the file.
        DataError: the file has another hash, or another process is downloading it.
    """
    path = folder / Path(file).name
    if path.is_file():
        _check_recorded(path, sha256)
        return path
    problems = []
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        for base in addresses:
            address = base.rstrip("/") + "/" + file
            try:
                _download(address, path, show_progress)
            except _NETWORK_ERRORS as problem:
                problems.append(f"{address}: {_reason(problem)}")
                continue
            _record(path, address, sha256)
            return path
    raise Unreachable(f"{path.name} could not be downloaded ({'; '.join(problems)})")


@contextmanager
def _alone(path: Path):
    """Refuse a second process: two processes that write one file could record an incomplete file as complete."""
    lock = path.with_name(path.name + ".lock")
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise DataError(f"another process is downloading {path}; wait for it to finish") from problem
        yield
    lock.unlink(missing_ok=True)


def _download(address: str, path: Path, show_progress: bool):
    """Download a file; after a broken connection, continue from there until attempts no longer receive anything."""
    partial, failures = _Partial(path, address), 0
    while True:
        before = partial.size
        try:
            _receive(address, partial, show_progress)
            break
        except _NETWORK_ERRORS as problem:
            if isinstance(problem, urllib.error.HTTPError) and problem.code not in _PASSING_CODES:
                raise
            failures = 1 if partial.size > before else failures + 1
            if failures == ATTEMPTS:
                raise
            time.sleep(PAUSE_SECONDS * failures)
    partial.path.replace(path)
    partial.drop()


def _receive(address: str, partial: _Partial, show_progress: bool):
    offset, version = partial.size, partial.version
    headers = {"User-Agent": "recbole-mpo", "Accept-Encoding": "identity"}
    if version:
        headers.update({"Range": f"bytes={offset}-", "If-Range": version})
    try:
        reply = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        if problem.code != 416:
            raise
        if problem.headers.get("Content-Range") == f"bytes */{offset}":
            return  # the file is already complete
        partial.drop()  # the part is longer than the file, so it belongs to another version
        raise
    with reply:
        if reply.headers.get_content_type() == "text/html":
            raise ConnectionError("the reply is an HTML page, not data: the address has moved, or a proxy answered")
        if reply.status != 206:
            offset = 0
            partial.begin(reply.headers.get("ETag") or reply.headers.get("Last-Modified"))
        length = reply.headers.get("Content-Length")
        _save(reply, partial.path, offset, None if length is None else offset + int(length), show_progress)


def _save(reply, path: Path, offset: int, total: int | None, show_progress: bool):
    """Append the reply to a file.

    Raises:
        ConnectionError: the reply ends before ``total`` bytes.
        DataError: the file cannot be written.
    """
    bar = progress_bar(
        shown=show_progress, description=path.stem, total=total, initial=offset, unit="B", unit_scale=True
    )
    with open(path, "ab") as file, bar:
        while block := reply.read(BLOCK_BYTES):
            try:
                file.write(block)
                file.flush()
            except OSError as problem:
                raise DataError(f"{path} cannot be written: {problem.strerror}; the part so far is kept") from problem
            bar.update(len(block))
    if total is not None and path.stat().st_size < total:
        raise ConnectionError(f"the connection ended after {path.stat().st_size:,} of {total:,} bytes")


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "reason", None) or problem) or type(problem).__name__


def _record(path: Path, address: str, sha256: str | None):
    """Record a downloaded file's address, size and hash; refuse a file whose hash is not ``sha256``."""
    actual = file_hash(path)
    if sha256 and actual != sha256:
        wrong = path.with_name(path.name + ".wrong")
        path.replace(wrong)
        raise DataError(
            f"{address} has the sha256 {actual}, not {sha256} as in properties/sources.yaml; the file was kept as "
            f"{wrong}. If the publisher has changed the file, correct the sha256 in properties/sources.yaml"
        )
    when = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(note_of(path), {"address": address, "bytes": path.stat().st_size, "sha256": actual, "downloaded": when})


def _check_recorded(path: Path, sha256: str | None):
    """Refuse a file whose hash is not ``sha256``, or not the recorded one."""
    note = note_of(path)
    try:
        recorded = json.loads(note.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        recorded = None  # the file was put there by hand
    expected = sha256 or recorded
    if expected and file_hash(path) != expected:
        raise DataError(
            f"{path} has changed: its sha256 is no longer {expected}. Delete it to download it again"
            + (f", or delete {note} to use it as it is" if not sha256 else "")
        )


def note_of(path: Path) -> Path:
    """Return the path of a downloaded file's record: address, size and sha256."""
    return path.with_name(path.name + ".json")
