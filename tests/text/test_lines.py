"""Files as lines, and the line at which a damaged file is refused."""

import io
from pathlib import Path

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.lines import read_lines, undecodable


@pytest.mark.parametrize(
    "content, lines",
    [
        (b"", []),
        (b"a\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\n\nb\n\n\n", ["a", "", "b"]),
        ("a\u2028b\x85c\n".encode(), ["a\u2028b\x85c"]),
    ],
)
def test_only_a_line_feed_ends_a_line(tmp_path, content, lines):
    (tmp_path / "f").write_bytes(content)
    assert read_lines(tmp_path / "f", "texts") == lines


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a\nb\0c\n", r"f, line 2: a NUL byte; the file is damaged"),
        (b"a\nb\n\xff\n", r"f, line 3: not valid UTF-8 \(byte 0xff\); save the file as UTF-8"),
    ],
)
def test_damage_names_its_line(tmp_path, content, message):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_lines(tmp_path / "f", "texts")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="absent: cannot read the index"):
        read_lines(tmp_path / "absent", "index")


@pytest.mark.parametrize(
    "encoding, place", [("utf-8-sig", "f, line 2: not valid utf-8 text"), ("utf-16", "f: not valid utf-16 text")]
)
def test_bytes_of_another_encoding_name_the_line_where_lines_can_be_told(encoding, place):
    problem = UnicodeDecodeError(encoding, b"\xe9", 0, 1, "why")
    assert str(undecodable(Path("f"), io.BytesIO(b"a\nJos\xe9\n"), encoding, problem)).startswith(place)
