"""Downloads that go on where they stopped, and are not used before they are whole.

A file in the making is ``<file>.part``, with what identifies the served version beside it; a whole one has a
``<file>.json`` that records its address, size and sha256.
"""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tqdm import tqdm

from recbole_mpo.atomic import replacing
from recbole_mpo.errors import DataError
from recbole_mpo.runtime import file_hash

TIMEOUT_SECONDS = 30
ATTEMPTS = 3
BLOCK_BYTES = 1 << 20
_NETWORK_ERRORS = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class _Partial:
    """What there is of a file so far."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def offset(self, address: str) -> tuple[int, str | None]:
        """Bytes that are there of what ``address`` served, and the version they belong to."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note["address"] == address and note["version"]:
                return self.path.stat().st_size, note["version"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, None

    def begin(self, address: str, version: str | None):
        write_json(self.note, {"address": address, "version": version})

    def drop(self):
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(file: str, addresses: list[str], folder: Path, sha256: str | None = None, show_progress=True) -> Path:
    """``folder/<last part of file>``, downloaded from the first address that serves it unless it is there.

    Args:
        file: path below an address.
        addresses: bases, tried in order.
        sha256: what the file must hash to; a file that was downloaded before must hash to what was recorded.

    Raises:
        DataError: no address serves it (says what to get and where to put it), or it is not what it should be.
    """
    path = folder / Path(file).name
    if path.is_file():
        _check_recorded(path, sha256)
        return path
    problems = []
    for base in addresses:
        address = base.rstrip("/") + "/" + file
        try:
            _download(address, path, show_progress)
        except _NETWORK_ERRORS as problem:
            problems.append(f"{address}: {_reason(problem)}")
            continue
        _record(path, address, sha256)
        return path
    raise DataError(
        f"{path.name} could not be downloaded ({'; '.join(problems)}). Without a network: get "
        f"{addresses[0].rstrip('/')}/{file} on another machine, put it into {folder}/ (or into any folder, given as "
        "--raw=FOLDER), and run the same command again; --source_url=URL names another address"
    )


def _download(address: str, path: Path, show_progress: bool):
    """Tries again from where a broken connection left off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(path.with_name(path.name + ".part"))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(address, partial, show_progress)
            break
        except urllib.error.HTTPError as problem:
            if problem.code == 416:  # what is there is longer than the file: it is another one's
                partial.drop()
            if attempt == ATTEMPTS or problem.code not in (416, 429, 500, 502, 503, 504):
                raise
        except _NETWORK_ERRORS:
            if attempt == ATTEMPTS:
                raise
    partial.path.replace(path)
    partial.drop()


def _receive(address: str, partial: _Partial, show_progress: bool):
    offset, version = partial.offset(address)
    headers = {"User-Agent": "recbole-mpo", "Accept-Encoding": "identity"}
    if offset:
        headers.update({"Range": f"bytes={offset}-", "If-Range": version})
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS) as reply:
        offset = offset if reply.status == 206 else 0
        if reply.headers.get_content_type() == "text/html":
            raise ConnectionError("an HTML page comes instead of data: the address has moved, or a proxy answers")
        if not offset:
            partial.begin(address, reply.headers.get("ETag") or reply.headers.get("Last-Modified"))
        length = reply.headers.get("Content-Length")
        total = None if length is None else offset + int(length)
        _save(reply, partial.path, offset, total, show_progress)


def _save(reply, path: Path, offset: int, total: int | None, show_progress: bool):
    """Appends the reply to the first ``offset`` bytes; raises ConnectionError where it ends before ``total``."""
    bar = tqdm(
        total=total, initial=offset, unit="B", unit_scale=True, desc=path.stem, disable=not show_progress, leave=False
    )
    with open(path, "r+b" if offset else "wb") as file, bar:
        file.seek(offset)
        while block := reply.read(BLOCK_BYTES):
            file.write(block)
            bar.update(len(block))
        file.truncate()
    if total is not None and path.stat().st_size < total:
        raise ConnectionError(f"the connection ended after {path.stat().st_size:,} of {total:,} bytes")


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "reason", None) or problem) or type(problem).__name__


def _record(path: Path, address: str, sha256: str | None):
    found = file_hash(path)
    if sha256 and found != sha256:
        wrong = path.with_name(path.name + ".wrong")
        path.replace(wrong)
        raise DataError(
            f"{address} has the sha256 {found}, not {sha256} as properties/sources.yaml says; it was kept as {wrong}. "
            "If the publisher has changed the file, correct the sha256 there"
        )
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    write_json(note_of(path), {"address": address, "bytes": path.stat().st_size, "sha256": found, "downloaded": when})


def _check_recorded(path: Path, sha256: str | None):
    note = note_of(path)
    recorded = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    wanted = sha256 or recorded.get("sha256")
    if wanted and file_hash(path) != wanted:
        raise DataError(
            f"{path} has changed: its sha256 is no longer {wanted}. Delete it to have it downloaded again"
            + (f", or delete {note} to use it as it is" if not sha256 else "")
        )


def note_of(path: Path) -> Path:
    """Where the address, size and sha256 of a downloaded file are recorded."""
    return path.with_name(path.name + ".json")


def write_json(path: Path, content: dict):
    """Writes it whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
