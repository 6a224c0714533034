"""A hash of a dataset's interactions that does not depend on the order of rows, on the engine or on the format.

The line of a row is ``user<TAB>item<TAB>time``, as in a ``.inter`` file. The md5 of each line, read as a little-endian
number of 128 bits, is added modulo 2**128. It finds what differs by mistake; it does not protect against forgery.
"""

import hashlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.atomic_files import RECBOLE_FIELDS

_MODULUS = 2**128


class RowsHash:
    """Sums the hashes of rows, in any order and any number of pieces."""

    def __init__(self):
        self._sum = 0

    def add_lines(self, lines: Iterable[str]):
        """Add rows, each written as ``user<TAB>item<TAB>time``."""
        digests = (hashlib.md5(line.encode(), usedforsecurity=False).digest() for line in lines)
        self._sum = (self._sum + sum(int.from_bytes(digest, "little") for digest in digests)) % _MODULUS

    def add_halves(self, lower: int, upper: int):
        """Add rows whose numbers were added elsewhere: the sums of their lower and of their upper 64 bits."""
        self._sum = (self._sum + lower + (upper << 64)) % _MODULUS

    def hexadecimal(self) -> str:
        """Return the sum as 32 hexadecimal digits."""
        return f"{self._sum:032x}"


def hash_of_inter(path: str | Path) -> str:
    """Return the hash of the rows of a ``.inter`` file that a preparation wrote.

    Raises:
        DataError: the file does not begin with the header that a preparation writes.
    """
    total = RowsHash()
    with open(path, encoding="utf-8", newline="\n") as file:
        header = file.readline().rstrip("\n")
        if header != RECBOLE_FIELDS.single_header:
            raise DataError(
                f"{path} begins with {header[:80]!r}, not with {RECBOLE_FIELDS.single_header!r}; give a .inter file "
                "of prepare"
            )
        while block := list(islice(file, 100_000)):
            total.add_lines(line.rstrip("\n") for line in block)
    return total.hexadecimal()
