"""Reads the index files of UniSRec's release, which list the number of each raw name."""

from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.lines import read_lines

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
        DataError: the file is unreadable or not UTF-8, a line is not a name and a number, a name or a number occurs
            twice, or the numbers are not 0, 1, 2, …
    """
    number_of: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for line_number, line in enumerate(read_lines(path, "index"), start=1):
        name, tab, number = line.rpartition("\t")
        if not tab or not number.isdecimal() or str(int(number)) != number:
            raise DataError(f"{path}, line {line_number}: expected a name, a tab and a number, found {line[:60]!r}")
        if name in number_of or number in line_of:
            earlier = line_of[number_of[name]] if name in number_of else line_of[number]
            raise DataError(f"{path}, line {line_number}: its name or number is already in line {earlier}")
        number_of[name], line_of[number] = number, line_number
    if not line_of or sorted(map(int, line_of)) != list(range(len(line_of))):
        raise DataError(f"{path}: its {len(line_of):,} numbers do not count from 0 to {len(line_of) - 1:,}")
    return number_of
