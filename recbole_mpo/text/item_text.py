"""Reads item texts: ``<Name>.text``, with the token and the text of one item per line."""

from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.index_files import read_index
from recbole_mpo.text.lines import read_lines

TEXT_HEADER = "item_id:token\ttext:token_seq"


@dataclass(frozen=True)
class ItemText:
    """Items in file order: ``texts[r]`` belongs to ``tokens[r]`` and to row r of a feature matrix."""

    tokens: list[str]
    texts: list[str]
    source: Path

    def __len__(self) -> int:
        return len(self.tokens)

    def by_token(self) -> dict[str, str]:
        """Return the text of each token, in file order."""
        return dict(zip(self.tokens, self.texts, strict=True))


def is_missing(text: str) -> bool:
    """Return whether a text has no letter and no digit of any script (``.``, ``--``, blank)."""
    return not any(character.isalnum() for character in text)


def text_file(data_path: str | Path, name: str) -> Path:
    """Return the path of a dataset's item text."""
    return Path(data_path) / name / f"{name}.text"


def read_item_text(path: str | Path) -> ItemText:
    """Read a ``.text`` file: the header ``item_id:token<TAB>text:token_seq``, then one line per item.

    Only the first tab of a line separates. Quotes are plain characters; RecBole's own reader fails on an unbalanced
    one. Only a line feed ends a line, so other Unicode line separators stay inside a text.

    Raises:
        DataError: the file is missing or has no items, the header is wrong, bytes are not valid UTF-8 or zero, a line
            has no tab or no token, or a token occurs twice; the message names file and line.
    """
    path = Path(path)
    lines = read_lines(path, "item texts")
    if not lines or lines[0] != TEXT_HEADER:
        first_line = repr(lines[0][:80]) if lines else "an empty file"
        raise DataError(f"{path}, line 1: the header must be {TEXT_HEADER!r}, found {first_line}")
    tokens, texts = [], []
    line_of_token: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        token, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{path}, line {number}: no tab between item token and text in {line[:60]!r}")
        if not token:
            raise DataError(f"{path}, line {number}: the item token before the tab is empty")
        earlier = line_of_token.setdefault(token, number)
        if earlier != number:
            raise DataError(f"{path}, line {number}: item {token!r} already has a text in line {earlier}; delete one")
        tokens.append(token)
        texts.append(text)
    if not tokens:
        raise DataError(f"{path} has no items after the header")
    return ItemText(tokens, texts, path)


def read_dataset_text(path: Path) -> ItemText:
    """Read a ``.text`` file, with items in the order and under the names that the interactions use.

    UniSRec's release has raw ids in ``.text``, and numbers from ``.item2index`` in the interactions. Its feature files
    are in the order of these numbers, and so is the result: one entry per number.

    Raises:
        DataError: the text file is unusable (see :func:`read_item_text`), or the index does not count from 0.
    """
    item_text = read_item_text(path)
    index_file = path.with_suffix(".item2index")
    if not index_file.is_file():
        return item_text
    number_of = read_index(index_file)
    if not set(item_text.tokens) <= number_of.keys():
        return item_text  # its tokens are numbers already
    text_of = item_text.by_token()
    names = sorted(number_of, key=lambda name: int(number_of[name]))
    return ItemText([number_of[name] for name in names], [text_of.get(name, "") for name in names], path)


def texts_of(path: Path, item_tokens) -> list[str]:
    """Return the texts [N] in the order of the tokens, "" for PAD (the first) and for items without text.

    Raises:
        DataError: the text file or its index is unusable (see :func:`read_dataset_text`).
    """
    text_of = read_dataset_text(path).by_token()
    return ["", *(text_of.get(token, "") for token in item_tokens[1:])]
