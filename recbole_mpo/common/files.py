"""Writes files whole or not at all, and hashes them."""

import hashlib
import json
import os
import platform
import tempfile
import time
import zipfile
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# Ending of a file that is being written: ``.<name>.<machine>-<process>-<random>.part``.
PART = ".part"
# Whether the writer of a file on another machine is alive cannot be asked; after a day it is taken to be gone.
LEFTOVER_SECONDS = 86_400


@contextmanager
def replacing_path(path: str | Path):
    """Yield the path of a temporary file next to ``path``; it replaces ``path`` if the block ends without an error.

    A link stays a link: the file it points to is replaced. The content is on the disk before it takes the file's place,
    so that a power loss leaves either file whole. What a killed process left of the same file is removed.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    prefix = f".{path.name}.{_machine()}-{os.getpid()}-"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=PART)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp and safetensors make the file private
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.filename is None:
            # The system does not say which file has no space.
            problem.filename = str(path)
        raise
    sync_folder(path.parent)


def _sync(path: Path):
    """Wait until a file's content is on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path):
    """Wait until a folder's entries are on the disk, where the system can be asked to; the file itself is there."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(path: Path):
    """Remove the temporary files of ``path`` whose writers are gone."""
    for part in path.parent.iterdir():
        if part.name.startswith(f".{path.name}.") and part.name.endswith(PART):
            # Another process may remove or finish the file at the same time.
            with suppress(OSError):
                if _is_left_over(part, part.name.removeprefix(f".{path.name}.")):
                    part.unlink()


def _is_left_over(part: Path, writer: str) -> bool:
    """Return whether the writer of a temporary file, which ``<machine>-<process>-…`` names, is gone."""
    machine, process, _ = (*writer.split("-", 2), "", "")[:3]
    written = part.stat().st_mtime
    if machine != _machine():
        return time.time() - written > LEFTOVER_SECONDS
    try:
        # Process numbers are reused: a process that began after the last write is another one.
        return psutil.Process(int(process)).create_time() > written + 1.0
    except psutil.NoSuchProcess:
        return True
    except ValueError:
        return False


def _machine() -> str:
    """Return a short name of this machine that can be part of a file's name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def replacing(path: str | Path):
    """Yield an open binary file that replaces ``path`` if the block ends without an error."""
    with replacing_path(path) as temporary, open(temporary, "wb") as file:
        yield file


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def write_lines(path: str | Path, lines: Iterable[str]):
    """Write lines as UTF-8, each ended by a line feed; a lone surrogate, which JSON can hold, becomes '?'."""
    with replacing(path) as file:
        block: list[str] = []
        for line in lines:
            block.append(line)
            if len(block) == 10_000:
                file.write(_encoded(block))
                block.clear()
        file.write(_encoded(block))


def _encoded(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode("utf-8", errors="replace")


def write_json(path: str | Path, content: dict):
    """Write an object as indented JSON."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def file_hash(path: str | Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare_checksums(archive: zipfile.ZipFile):
    """Compare the parts of an archive with its checksums, which torch does not do and numpy only in part.

    Raises:
        zipfile.BadZipFile: a part is not what was written.
    """
    if damaged := archive.testzip():
        raise zipfile.BadZipFile(f"the checksum of its part {damaged} differs")
