"""Writes files whole or not at all, and hashes them."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing_path(path: str | Path):
    """Yield the path of a temporary file next to ``path``; it replaces ``path`` if the block ends without an error.

    A link stays a link: the file it points to is replaced.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp and safetensors make the file private
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else _digest(file)


def _digest(file) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
