"""Downloads that go on where they stopped, and are not used before they are whole.

A file in the making is ``<file>.<address>.part``, with what identifies the served version beside it; a whole one has
a ``<file>.json`` that records its address, size and sha256.
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

from tqdm import tqdm

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import file_hash, write_json

TIMEOUT_SECONDS = 30
# How often in a row nothing may be gained, and the pause after that, which grows.
ATTEMPTS, PAUSE_SECONDS = 3, 1.0
BLOCK_BYTES = 1 << 20
_NETWORK_ERRORS = (OSError, http.client.HTTPException)
_PASSING_CODES = (416, 429, 500, 502, 503, 504)


class Unreachable(DataError):
    """No address serves a file; what was received is kept."""


class _Partial:
    """What there is so far of what one address serves."""

    def __init__(self, path: Path, address: str):
        name = f"{path.name}.{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self.path, self.note = path.with_name(f"{name}.part"), path.with_name(f"{name}.version")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str | None:
        """What identifies the served file that the bytes belong to."""
        return self.note.read_text(encoding="utf-8") if self.note.is_file() and self.size else None

    def begin(self, version: str | None):
        """Start anew with a served file of this version."""
        self.drop()
        if version:
            self.note.write_text(version, encoding="utf-8")

    def drop(self):
        """Delete what there is."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(file: str, addresses: list[str], folder: Path, sha256: str | None = None, show_progress=True) -> Path:
    """Return ``folder/<last part of file>``, downloaded from the first address that serves it unless it is there.

    Args:
        file: path below an address.
        addresses: bases, tried in order.
        sha256: what the file must hash to; a file that was downloaded before must hash to what was recorded.

    Raises:
        Unreachable: no address serves it.
        DataError: it is not what it should be, or another process is downloading it.
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
    """Refuse a second process: two that write one file would record each other's holes as whole."""
    lock = path.with_name(path.name + ".lock")
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise DataError(f"another process is downloading {path}; wait for it to end") from problem
        yield
    lock.unlink(missing_ok=True)


def _download(address: str, path: Path, show_progress: bool):
    """Download, and try again from where a broken connection left off, as long as that gains something."""
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
            return  # all of it is there
        partial.drop()  # longer than the file: it is another one's
        raise
    with reply:
        if reply.headers.get_content_type() == "text/html":
            raise ConnectionError("an HTML page comes instead of data: the address has moved, or a proxy answers")
        if reply.status != 206:
            offset = 0
            partial.begin(reply.headers.get("ETag") or reply.headers.get("Last-Modified"))
        length = reply.headers.get("Content-Length")
        _save(reply, partial.path, offset, None if length is None else offset + int(length), show_progress)


def _save(reply, path: Path, offset: int, total: int | None, show_progress: bool):
    """Append the reply; raise ConnectionError where it ends before ``total``, DataError where the disk refuses."""
    bar = tqdm(
        total=total, initial=offset, unit="B", unit_scale=True, desc=path.stem, disable=not show_progress, leave=False
    )
    with open(path, "ab") as file, bar:
        while block := reply.read(BLOCK_BYTES):
            try:
                file.write(block)
                file.flush()
            except OSError as problem:
                raise DataError(f"{path} cannot be written: {problem.strerror}; what is there is kept") from problem
            bar.update(len(block))
    if total is not None and path.stat().st_size < total:
        raise ConnectionError(f"the connection ended after {path.stat().st_size:,} of {total:,} bytes")


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "reason", None) or problem) or type(problem).__name__


def _record(path: Path, address: str, sha256: str | None):
    """Note what was downloaded; refuse what does not hash to ``sha256``."""
    actual = file_hash(path)
    if sha256 and actual != sha256:
        wrong = path.with_name(path.name + ".wrong")
        path.replace(wrong)
        raise DataError(
            f"{address} has the sha256 {actual}, not {sha256} as properties/sources.yaml says; it was kept as {wrong}. "
            "If the publisher has changed the file, correct the sha256 there"
        )
    when = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(note_of(path), {"address": address, "bytes": path.stat().st_size, "sha256": actual, "downloaded": when})


def _check_recorded(path: Path, sha256: str | None):
    """Refuse a file that no longer hashes to ``sha256`` or to what was recorded."""
    note = note_of(path)
    try:
        recorded = json.loads(note.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        recorded = None  # put there by hand
    wanted = sha256 or recorded
    if wanted and file_hash(path) != wanted:
        raise DataError(
            f"{path} has changed: its sha256 is no longer {wanted}. Delete it to have it downloaded again"
            + (f", or delete {note} to use it as it is" if not sha256 else "")
        )


def note_of(path: Path) -> Path:
    """Return the path of a downloaded file's record: address, size and sha256."""
    return path.with_name(path.name + ".json")
