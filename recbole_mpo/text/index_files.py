"""Reads the index files of UniSRec's release, which list the number of each raw name."""

from pathlib import Path

from recbole_mpo.common.errors import DataError

# RecBole's token of row 0 of each field, the padding.
PAD = "[PAD]"


def raw_names(index_file: Path, tokens) -> list[str]:
    """Return names that mean the same in other datasets: those of an index file, or the tokens.

    The list is empty if the tokens are only numbers, because another dataset may use the same numbers for other names.

    Raises:
        DataError: the index file is malformed.
    """
    if index_file.is_file():
        name_of = {number: raw for raw, number in read_index(index_file).items()}
        return [name_of.get(token, "") for token in tokens]
    tokens = [str(token) for token in tokens]
    return [] if all(token.isdecimal() for token in tokens if token != PAD) else tokens


def read_index(path: Path) -> dict[str, str]:
    """Read the number of each raw name from an ``.item2index`` or ``.user2index`` file.

    Raises:
        DataError: a line is not a name and a number, or the numbers are not 0, 1, 2, …
    """
    number_of = {}
    # Not str.splitlines, which would break a name at U+2028 and others.
    for line_number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), start=1):
        name, tab, number = line.rpartition("\t")
        if not tab or not number.isdecimal():
            raise DataError(f"{path}, line {line_number}: expected a name, a tab and a number, found {line[:60]!r}")
        number_of[name] = number
    if sorted(map(int, number_of.values())) != list(range(len(number_of))):
        raise DataError(f"{path}: its {len(number_of):,} numbers do not count from 0 to {len(number_of) - 1:,}")
    return number_of
