"""Item texts: ``<Name>.text``, one item per line, its token and its text."""

from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import DataError
from recbole_mpo.text.index_files import read_index

TEXT_HEADER = "item_id:token\ttext:token_seq"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ItemText:
    """Items in file order: ``texts[r]`` belongs to ``tokens[r]``, and to row r of a feature matrix."""

    tokens: list[str]
    texts: list[str]
    source: Path

    def __len__(self) -> int:
        return len(self.tokens)

    def by_token(self) -> dict[str, str]:
        """Return the text of each token, in file order."""
        return dict(zip(self.tokens, self.texts, strict=True))


def is_missing(text: str) -> bool:
    """Say whether a text says nothing: it holds no letter and no digit, of any script (``.``, ``--``, blank)."""
    return not any(character.isalnum() for character in text)


def text_file(data_path: str | Path, name: str) -> Path:
    """Return the path of a dataset's item text."""
    return Path(data_path) / name / f"{name}.text"


def read_item_text(path: str | Path) -> ItemText:
    """Read a ``.text`` file: the header ``item_id:token<TAB>text:token_seq``, then one line per item.

    Only the first tab of a line separates, and quotes are plain characters (RecBole's own reader aborts on an
    unbalanced one). Lines end at a line feed alone, so other Unicode line separators stay inside a text.

    Raises:
        DataError: a missing file, another header, bytes that are not UTF-8, a line without a tab or token, a token that
            occurs twice, a file without items; names file and line.
    """
    path = Path(path)
    lines = _read_lines(path)
    if not lines or lines[0] != TEXT_HEADER:
        first_line = repr(lines[0][:80]) if lines else "an empty file"
        raise DataError(f"{path}, line 1: the header must be {TEXT_HEADER!r}, found {first_line}")
    tokens, texts = [], []
    line_of_token: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        token, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{path}, line {number}: no tab between item and text in {line[:60]!r}")
        if not token:
            raise DataError(f"{path}, line {number}: the item token before the tab is empty")
        earlier = line_of_token.setdefault(token, number)
        if earlier != number:
            raise DataError(f"{path}, line {number}: item {token!r} already has a text in line {earlier}; keep one")
        tokens.append(token)
        texts.append(text)
    if not tokens:
        raise DataError(f"{path}: no items after the header")
    return ItemText(tokens, texts, path)


def _read_lines(path: Path) -> list[str]:
    """Return the file's lines without line ends; empty lines at the very end are dropped."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the item texts ({error.strerror or error})") from error
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {number}: not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from error
    # Not str.splitlines: it also breaks a text at U+2028, U+0085 and the like, and shifts every later row.
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def read_dataset_text(path: Path) -> ItemText:
    """Read a ``.text`` file in the order and under the names of the interactions.

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
    text_of = item_text.by_token()
    names = sorted(number_of, key=lambda name: int(number_of[name]))
    return ItemText([number_of[name] for name in names], [text_of.get(name, "") for name in names], path)


def texts_of(path: Path, item_tokens) -> list[str]:
    """Return the texts [N] in the order of the tokens, "" for PAD (the first) and for items without one.

    Raises:
        DataError: as :func:`read_dataset_text`.
    """
    text_of = read_dataset_text(path).by_token()
    return ["", *(text_of.get(token, "") for token in item_tokens[1:])]
