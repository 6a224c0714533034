"""Opens what others made: text that may be compressed, and archives that may be damaged or far too large."""

import gzip
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

from recbole_mpo.common.errors import DataError, RecboleMPOError

# A larger archive whose content is more than so many times its size is refused: it would fill the disk or the memory.
LARGE_BYTES, LARGEST_RATIO = 100_000_000, 100
BLOCK_BYTES = 1 << 20


def open_text(path: Path, encoding: str = "utf-8-sig", newline: str | None = None):
    """Open a text file for reading; unzip it if its name ends in ``.gz``."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline=newline)
    return open(path, encoding=encoding, newline=newline)


def data_files(path: Path) -> list[Path]:
    """Return the file, or a folder's files in the order of their names, without those that a dot or underline hides."""
    if not path.is_dir():
        return [path]
    files = (file for file in path.rglob("*") if file.is_file())
    return sorted(file for file in files if not any(part[0] in "._" for part in file.relative_to(path).parts))


@contextmanager
def foreign(path: Path, form: str):
    """Turn whatever a library raises while it reads ``path`` into one line: damaged bytes make it fail in any way.

    Raises:
        DataError: the block fails.
    """
    try:
        yield
    except RecboleMPOError:
        raise
    except Exception as problem:
        text = " ".join(str(problem).split()) or type(problem).__name__
        raise DataError(f"{path} cannot be read as {form}: {text[:200]}; get a new copy") from problem


def refuse_bomb(archive: zipfile.ZipFile, members, path: Path):
    """Refuse members of an archive that are implausibly large, or encrypted.

    Raises:
        DataError: a member is encrypted, or the members unpack to more than ``LARGE_BYTES`` and more than
            ``LARGEST_RATIO`` times their size.
    """
    members = list(members)
    for member in members:
        if member.flag_bits & 0x1:
            raise DataError(f"{path}: {member.filename} is encrypted; unpack it yourself and give the table")
    packed, unpacked = (sum(getattr(member, name) for member in members) for name in ("compress_size", "file_size"))
    _refuse_ratio(unpacked, packed, path)


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, path: Path):
    """Write a member of the archive ``path`` to the file ``target``.

    Raises:
        DataError: the member is damaged, encrypted or in an unknown form, or it is implausibly large.
    """
    refuse_bomb(archive, [member], path)
    written = 0
    try:
        with archive.open(member) as source, open(target, "wb") as file:
            while block := source.read(BLOCK_BYTES):
                written += len(block)
                # The sizes that an archive states may be wrong.
                _refuse_ratio(written, member.compress_size, path)
                file.write(block)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as problem:
        raise DataError(f"{path}: {member.filename} cannot be unpacked ({problem}); get a new copy") from problem


def _refuse_ratio(unpacked: int, packed: int, path: Path):
    if unpacked > LARGE_BYTES and unpacked > LARGEST_RATIO * packed:
        raise DataError(
            f"{path} unpacks to more than {LARGEST_RATIO} times its size ({unpacked:,} bytes), which no table does; "
            "unpack it yourself if it is right"
        )
