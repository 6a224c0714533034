"""The hash of rows: the same for any order and any pieces, another for any other rows."""

import hashlib
import re

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.rows_hash import RowsHash, hash_of_inter

LINES = ["u\ta\t1", "u\tb\t2", "ü\t007\t1.5", "u\ta\t1"]


def hash_of(*pieces):
    total = RowsHash()
    for piece in pieces:
        total.add_lines(piece)
    return total.hexadecimal()


def test_it_is_the_sum_of_the_rows_md5():
    digests = [hashlib.md5(line.encode()).digest() for line in LINES]
    expected = sum(int.from_bytes(digest, "little") for digest in digests) % 2**128
    assert hash_of(LINES) == f"{expected:032x}" and re.fullmatch("[0-9a-f]{32}", hash_of(LINES))


def test_neither_order_nor_pieces_count_but_every_row_does():
    assert hash_of(LINES) == hash_of(LINES[::-1]) == hash_of(LINES[:1], [], LINES[1:])
    assert len({hash_of(LINES), hash_of(LINES[:3]), hash_of([*LINES, LINES[0]]), hash_of()}) == 4


def test_halves_may_be_added_elsewhere():
    digests = [hashlib.md5(line.encode()).digest() for line in LINES]
    lower, upper = (sum(int.from_bytes(d[part], "little") for d in digests) for part in (slice(8), slice(8, 16)))
    total = RowsHash()
    total.add_halves(lower, upper)
    assert total.hexadecimal() == hash_of(LINES)


def test_the_hash_of_an_inter_file_is_that_of_its_rows(tmp_path):
    path = tmp_path / "a.inter"
    path.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *LINES]) + "\n", encoding="utf-8")
    assert hash_of_inter(path) == hash_of(LINES)
    path.write_text("user,item\nu,a\n")
    with pytest.raises(DataError, match=r"a\.inter begins with 'user,item'.*give a \.inter file of prepare"):
        hash_of_inter(path)
