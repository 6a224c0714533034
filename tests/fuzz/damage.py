"""Ways to damage files and values, each drawn from a seeded generator: the same draw damages in the same way."""

import copy
import random
from collections.abc import Callable

# What a text may hold by accident or on purpose, as it stands in a file.
FRAGMENTS = (
    *(b"\0", b"\0" * 40, b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85"),
    *(b'"', b"'", b'""', b'"a\nb"', b"\t", b"\t\t", b" ", b"\n", b"\r", b"\r\n", b"\x0b", b"\x0c", b"\x1b[2J", b"\x07"),
    *(b",", b";", b":", b"|", b"#", b"%", b"&a", b"*a", b"!!python/name:os", b"- ", b"\\", b"\\u0000", b"\\ud800"),
    *(b"1e400", b"-1e400", b"9" * 400, b"18446744073709551616", b"-0", b"0x10", b"1_000", b"nan", b"inf", b"-1"),
    *(b"[PAD]", b"null", b"NA", b"true", b"~", b"=cmd|' /C calc'!A0", b"../..", b"\xf0\x9f\x98\x80", b"\xd9\xa3"),
    *(b"[" * 2000, b"{" * 2000, b'{"a":' * 2000, b"(" * 2000, b"x" * 200_000, b"<!DOCTYPE html>", b"user_id", b"{}"),
)  # fmt: skip
# Of an object that was read, any part may be one of these.
VALUES = (
    *(None, True, False, 0, 1, -1, 3, 10**30, -(10**400), 0.5, -1.5, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "nan", "1", "a\nb|c", "\x1b[2J", "\ud800", "\0", "x" * 10_000, "=1+1", "../..", "[PAD]", b"b"),
    *([], [1], [None], ["a", 1], [[]], {}, {"a": 1}, {1: 2}, {"": None}, ()),
)
GONE = object()


def _place(data: bytes, draw: random.Random) -> tuple[int, int]:
    """Return the begin and the end of a block; most are short."""
    begin = draw.randrange(len(data))
    return begin, min(len(data), begin + draw.choice((1, 2, 8, 64, 512, 4096)))


def flip_bits(data: bytes, draw: random.Random) -> bytes:
    """Flip one bit, or several anywhere."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 4, 40))):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut_end(data: bytes, draw: random.Random) -> bytes:
    """Leave out the end, as after a killed download."""
    return data[: draw.choice((0, draw.randrange(len(data)), len(data) - 1))]


def zero_block(data: bytes, draw: random.Random) -> bytes:
    """Zero a block, as a power cut does."""
    begin, end = _place(data, draw)
    return data[:begin] + bytes(end - begin) + data[end:]


def drop_block(data: bytes, draw: random.Random) -> bytes:
    """Leave out a block."""
    begin, end = _place(data, draw)
    return data[:begin] + data[end:]


def repeat_block(data: bytes, draw: random.Random) -> bytes:
    """Write a block twice."""
    begin, end = _place(data, draw)
    return data[:end] + data[begin:]


def overwrite_block(data: bytes, draw: random.Random) -> bytes:
    """Overwrite a block by noise, or by another block of the file."""
    begin, end = _place(data, draw)
    start = draw.randrange(len(data))
    other = draw.choice((draw.randbytes(end - begin), data[start : start + end - begin]))
    return data[:begin] + other + data[begin + len(other) :]


def append(data: bytes, draw: random.Random) -> bytes:
    """Append noise, a part of the file, or all of it."""
    return data + draw.choice((draw.randbytes(draw.randrange(1, 300)), data[draw.randrange(len(data)) :], data))


def insert_fragment(data: bytes, draw: random.Random) -> bytes:
    """Insert something odd anywhere."""
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.choice(FRAGMENTS) + data[place:]


def replace_cell(data: bytes, draw: random.Random) -> bytes:
    """Replace a cell, word or value of a line by something odd."""
    begin = end = draw.randrange(len(data))
    parts = b"\t\n\r ,:;\"'|"
    while begin > 0 and data[begin - 1] not in parts:
        begin -= 1
    while end < len(data) and data[end] not in parts:
        end += 1
    return data[:begin] + draw.choice((b"", *FRAGMENTS)) + data[end:]


def _on_lines(change: Callable) -> Callable:
    """Return a damage that changes the list of lines."""

    def damage(data: bytes, draw: random.Random) -> bytes:
        lines = data.splitlines(keepends=True)
        change(lines, draw)
        return b"".join(lines)

    damage.__name__ = change.__name__
    return damage


@_on_lines
def duplicate_line(lines: list, draw: random.Random):
    """Write a line twice, also the first."""
    lines.insert(draw.randrange(len(lines) + 1), lines[draw.choice((0, draw.randrange(len(lines))))])


@_on_lines
def drop_line(lines: list, draw: random.Random):
    """Leave out a line, also the first."""
    del lines[draw.choice((0, draw.randrange(len(lines))))]


@_on_lines
def swap_lines(lines: list, draw: random.Random):
    """Exchange two lines."""
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


@_on_lines
def join_lines(lines: list, draw: random.Random):
    """Leave out a line's end."""
    place = draw.randrange(len(lines))
    lines[place] = lines[place].rstrip(b"\r\n")


@_on_lines
def quote_cells(lines: list, draw: random.Random):
    """Quote the cells of some lines, or begin quotes that do not end."""
    for place in range(draw.randrange(len(lines)), len(lines), draw.choice((1, 3, 1000))):
        lines[place] = draw.choice((b'"', b"'")) + lines[place].replace(b"\t", b'"\t"').replace(b",", b'","')


@_on_lines
def empty_lines(lines: list, draw: random.Random):
    """Insert lines that are empty or blank."""
    for _ in range(draw.choice((1, 1, 5))):
        lines.insert(draw.randrange(len(lines) + 1), draw.choice((b"\n", b" \n", b"\t\n", b"\t\t\n", b"\r\n", b"\r")))


def other_line_ends(data: bytes, draw: random.Random) -> bytes:
    """End the lines in another way, or some of them."""
    return data.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n", b"\n\r")), draw.choice((-1, 1, 5)))


def encode_otherwise(data: bytes, draw: random.Random) -> bytes:
    """Save the text in another encoding, or with a byte order mark."""
    text = data.decode("utf-8", errors="replace") + draw.choice(("", "é", "😀"))
    return text.encode(draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7")), "replace")


BYTES = (flip_bits, flip_bits, cut_end, zero_block, drop_block, repeat_block, overwrite_block, append)
LINES = (duplicate_line, drop_line, swap_lines, join_lines, quote_cells, empty_lines)
WORDS = (insert_fragment, insert_fragment, replace_cell, replace_cell)
TEXTS = (*BYTES, *WORDS, *LINES, other_line_ends, encode_otherwise)


def damaged(data: bytes, draw: random.Random, ways=BYTES) -> tuple[bytes, str]:
    """Return the data, damaged in one to three ways, and the names of the ways."""
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        way = draw.choice(ways)
        if data:
            data = way(data, draw)
            names.append(way.__name__)
    return data, " + ".join(names)


def places_in(content, depth: int = 4, at: tuple = ()):
    """Yield the place of each part of nested dicts and lists, down to a depth; of long ones some parts."""
    if at:
        yield at
    if len(at) < depth and isinstance(content, dict | list | tuple):
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        for key in keys if len(keys) < 60 else random.Random(1).sample(keys, 8):
            yield from places_in(content[key], depth, (*at, key))


def changed(content, at: tuple, value):
    """Return a copy of nested dicts, lists and tuples in which the part at a place is another, or ``GONE``."""
    key, *rest = at
    copied = list(content) if isinstance(content, tuple) else copy.copy(content)
    if rest:
        copied[key] = changed(content[key], tuple(rest), value)
    elif value is GONE:
        del copied[key]
    else:
        copied[key] = value
    return tuple(copied) if isinstance(content, tuple) else copied


def odd_value(draw: random.Random, more: tuple = ()):
    """Return a value that is seldom right, or ``GONE``."""
    return draw.choice((*VALUES, GONE, GONE, GONE, *more))
