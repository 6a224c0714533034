"""Files that others made are opened or refused in one line, and never fill the disk."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.prepare import open_files
from recbole_mpo.data.prepare.open_files import foreign, open_text, refuse_bomb, unpack


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_text_opens_compressed_or_not(tmp_path, name):
    content = "\ufeffé\r\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    for newline, end in ((None, "\n"), ("", "\r\n")):
        with open_text(tmp_path / name, newline=newline) as file:
            assert file.read() == "é" + end


@pytest.mark.parametrize("error", [SyntaxError("no element\nfound"), MemoryError(), KeyError("xl/workbook.xml")])
def test_whatever_a_library_raises_becomes_one_line(error):
    with (
        pytest.raises(DataError, match=r"^a\.xlsx cannot be read as Excel: .+; get a new copy$"),
        foreign(Path("a.xlsx"), "Excel"),
    ):
        raise error


def test_our_own_errors_and_interruptions_pass():
    for error in (ConfigError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)), foreign(Path("a.xlsx"), "Excel"):
            raise error


def archive_of(tmp_path, content: bytes, compression=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
        archive.writestr("a.csv", content)
    return tmp_path / "a.zip"


def unpacked(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        unpack(archive, archive.infolist()[0], path.with_name("out"), path)
    return path.with_name("out").read_bytes()


def test_a_member_is_unpacked(tmp_path):
    assert unpacked(archive_of(tmp_path, b"x" * 5000)) == b"x" * 5000


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(open_files, "LARGE_BYTES", 1 << 20)
    path = archive_of(tmp_path, bytes(3 << 20))
    with pytest.raises(DataError, match=r"a\.zip unpacks to more than 100 times its size"):
        unpacked(path)
    assert not (tmp_path / "out").exists()
    with zipfile.ZipFile(path) as archive, pytest.raises(DataError, match="unpacks to more than 100 times"):
        refuse_bomb(archive, archive.infolist(), path)


def test_a_bomb_that_states_a_small_size_is_refused_meanwhile(tmp_path, monkeypatch):
    """The stated sizes say 10 bytes; what comes out counts."""
    monkeypatch.setattr(open_files, "LARGE_BYTES", 1 << 20)
    path = archive_of(tmp_path, b"x")

    class Liar(zipfile.ZipFile):
        def open(self, *_):
            return io.BytesIO(bytes(5 << 20))

    with Liar(path) as archive, pytest.raises(DataError, match="unpacks to more than 100 times"):
        unpack(archive, archive.infolist()[0], tmp_path / "out", path)
    assert (tmp_path / "out").stat().st_size <= 1 << 20


@pytest.mark.parametrize(
    "change, message",
    [
        ("encrypted", r"a\.zip: a\.csv is encrypted; unpack it yourself"),
        ("method", r"a\.zip: a\.csv cannot be unpacked \(.*compression"),
        ("content", r"a\.zip: a\.csv cannot be unpacked \(Bad CRC-32"),
    ],
)
def test_members_that_cannot_be_unpacked_are_told(tmp_path, change, message):
    path = archive_of(tmp_path, b"user,item\n" * 9, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    for start, flags, method in ((raw.find(b"PK\x03\x04"), 6, 8), (raw.find(b"PK\x01\x02"), 8, 10)):
        if change == "encrypted":
            struct.pack_into("<H", raw, start + flags, 1)
        elif change == "method":
            struct.pack_into("<H", raw, start + method, 99)
    if change == "content":
        raw[raw.find(b"user,item") + 20] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message):
        unpacked(path)
