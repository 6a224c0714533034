"""A data set's item text, also in the form of UniSRec's release."""

from pathlib import Path

from recbole_mpo.errors import DataError
from recbole_mpo.text.itemtext import ItemText, read_item_text


def text_file(data_path: str | Path, name: str) -> Path:
    """Where the item text of a data set stands."""
    return Path(data_path) / name / f"{name}.text"


def read_dataset_text(path: Path) -> ItemText:
    """The ``.text`` file in the order and under the names of the interactions.

    UniSRec's release names items by raw ids there and by the numbers of ``.item2index`` in the interactions; its
    feature files are in the order of these numbers, and so is what this returns: one entry for each number.

    Raises:
        DataError: as :func:`read_item_text`, or an index that does not count from 0.
    """
    item_text = read_item_text(path)
    index_file = path.with_suffix(".item2index")
    if not index_file.is_file():
        return item_text
    number_of = read_index(index_file)
    if not set(item_text.tokens) <= number_of.keys():
        return item_text  # already under the numbers
    text_of = dict(zip(item_text.tokens, item_text.texts, strict=True))
    names = sorted(number_of, key=lambda name: int(number_of[name]))
    return ItemText([number_of[name] for name in names], [text_of.get(name, "") for name in names], path)


def texts_of(path: Path, item_tokens) -> list[str]:
    """Texts [N] in the order of the tokens, "" for PAD (the first) and for items without one."""
    item_text = read_dataset_text(path)
    text_of = dict(zip(item_text.tokens, item_text.texts, strict=True))
    return ["", *(text_of.get(token, "") for token in item_tokens[1:])]


def raw_names(index_file: Path, tokens) -> list[str]:
    """Names that mean the same in other data sets: those of an index file, or the tokens.

    Empty where these are mere numbers: a set's own say nothing of another set's.
    """
    if index_file.is_file():
        name_of = {number: raw for raw, number in read_index(index_file).items()}
        return [name_of.get(token, "") for token in tokens]
    tokens = [str(token) for token in tokens]
    return [] if all(token.isdecimal() for token in tokens if token != "[PAD]") else tokens


def read_index(path: Path) -> dict[str, str]:
    """Number by raw name from an ``.item2index`` or ``.user2index`` file.

    Raises:
        DataError: a line is no pair, or the numbers are not 0, 1, 2, …
    """
    number_of = {}
    # Not str.splitlines, which would break a name at U+2028 and the like.
    for line_number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), start=1):
        name, tab, number = line.rpartition("\t")
        if not tab or not number.isdecimal():
            raise DataError(f"{path}, line {line_number}: expected a name, a tab and a number, found {line[:60]!r}")
        number_of[name] = number
    if sorted(map(int, number_of.values())) != list(range(len(number_of))):
        raise DataError(f"{path}: its {len(number_of):,} numbers do not count from 0 to {len(number_of) - 1:,}")
    return number_of
