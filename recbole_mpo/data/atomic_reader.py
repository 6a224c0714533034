"""Reads and checks the columns of atomic files, as data frames in 64 bits.

Shapes: I rows.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.values import shown
from recbole_mpo.data.atomic_files import RECBOLE_FIELDS, Fields
from recbole_mpo.data.exact_times import exact_numbers
from recbole_mpo.data.sequences import cut
from recbole_mpo.text.index_files import PAD
from recbole_mpo.text.lines import NUL_ADVICE, undecodable

# Pandas skips a line of only these characters; tabs separate cells, so a line of tabs is a row.
BLANK = " \r\n"
# A file may be larger than memory: how many characters or rows of it are held at a time.
BLOCK_CHARACTERS = 1 << 22
BLOCK_ROWS = 1_000_000


def read_header(path: Path, separator: str, encoding: str) -> dict[str, str]:
    """Return RecBole's type of each column by its name, in file order.

    Raises:
        DataError: a column has no name or no known type, or occurs twice.
    """
    with open(path, encoding=encoding) as file:
        line = file.readline().rstrip("\r\n")
    types = {}
    for column in line.split(separator):
        name, _, kind = column.partition(":")
        if kind not in ("token", "token_seq", "float", "float_seq"):
            raise DataError(
                f"{path}, line 1: column {shown(column)} is not 'name:type' with type token, token_seq, float or "
                "float_seq"
            )
        if name in types:
            raise DataError(f"{path}, line 1: column {shown(name)} occurs twice")
        types[name] = kind
    return types


def read_atomic(path: str | Path, columns, fields: Fields = RECBOLE_FIELDS) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read columns of an atomic file: tokens as categories, numbers in 64 bits, sequences as arrays of either.

    Args:
        path: the file.
        columns: names of the columns to read; None reads all.
        fields: separators and encoding of the file.

    Returns:
        The frame, and RecBole's type of each column by its name, in file order.

    Raises:
        DataError: the file or a column is missing, a column's type does not fit what the column means, a row has the
            wrong width, a token is empty, a value of a float column is not a number, different times are one number in
            64 bits, or bytes are zero or in another encoding.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    # A byte order mark would otherwise become part of the first column's name.
    encoding = "utf-8-sig" if fields.encoding.lower() in ("utf-8", "utf8") else fields.encoding
    try:
        header = read_header(path, fields.separator, encoding)
        names = _selected_columns(header, columns, path)
        types = {name: header[name] for name in names}
        _check_types(types, fields, path)
        rows = _check_lines(path, len(header), fields.separator, encoding)
        file = _AtomicFile(path, list(header), fields.separator, fields.sequence_separator, encoding)
        frame = pd.DataFrame(_read_columns(file, types), copy=False)
    except UnicodeError as problem:
        with open(path, "rb") as file:
            raise undecodable(path, file, encoding, problem) from problem
    except (OSError, pd.errors.ParserError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem
    if len(header) > 1 and len(frame) != rows:
        raise DataError(f"{path} has {rows:,} rows, of which {len(frame):,} can be read; the file is damaged")
    if types.get(fields.time) == "float" and frame[fields.time].dtype == np.float64:
        frame[fields.time] = _exact_times(fields.time, file)
    return frame, types


def _check_types(types: dict[str, str], fields: Fields, path: Path):
    """Refuse a type that does not fit what a column means: times that are tokens would be sorted as text, or not."""
    for name, kind in types.items():
        expected = fields.types.get(name, kind)
        if kind != expected:
            raise DataError(
                f"{path}, line 1: column {name!r} has the type {kind}, but users and items are token, histories "
                f"token_seq and times float; write {name}:{expected} in the header"
            )


def _exact_times(name: str, file: "_AtomicFile") -> np.ndarray:
    """Return times with fractions, rounded to the nearest float64; refuse times whose order that would lose."""
    cells = np.concatenate([block[name].to_numpy() for block in file.blocks([name], [name])])
    times = exact_numbers(cells)
    if times.dtype != np.float64:
        raise DataError(
            f"{file.path}: different times in column {name!r} are one number in 64 bits; write whole numbers, for "
            "example nanoseconds"
        )
    return times


def _selected_columns(header: dict[str, str], columns, path: Path) -> list[str]:
    if columns is None:
        return list(header)
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(header)}. "
            "Rename the column or set USER_ID_FIELD, ITEM_ID_FIELD, TIME_FIELD, LIST_SUFFIX or load_col"
        )
    return [name for name in header if name in columns]


def _check_lines(path: Path, width: int, separator: str, encoding: str) -> int:
    """Return the number of rows; refuse rows of another width and NUL bytes.

    Pandas silently cuts rows that are too wide, fills rows that are too short, and ends a cell at a NUL.
    """
    lines_before = blank = 0
    for block in _blocks_of_lines(path, encoding):
        if (place := block.find("\0")) >= 0:
            number = lines_before + block.count("\n", 0, place) + 1
            raise DataError(f"{path}, line {number}: a NUL byte; {NUL_ADVICE}")
        separators = _separators_per_line(block, separator)
        wrong = np.flatnonzero(separators != width - 1)
        lines = block.split("\n") if len(wrong) else []
        for index in wrong:
            if lines[index].strip(BLANK):
                raise DataError(
                    f"{path}, line {lines_before + index + 1} has {separators[index] + 1} columns, the header {width}"
                )
        blank += len(wrong)
        lines_before += len(separators)
    return lines_before - blank - 1


def _blocks_of_lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield the text of a file in blocks of whole lines, each line ended by a line feed."""
    with open(path, encoding=encoding) as file:
        while block := file.read(BLOCK_CHARACTERS) + file.readline():
            yield block if block.endswith("\n") else block + "\n"


def _separators_per_line(block: str, separator: str) -> np.ndarray:
    """Count the separators in each line, without a loop over the lines."""
    # UTF-8 has no byte 0xFF, so it can stand for a separator of any length.
    data = np.frombuffer(block.encode().replace(separator.encode(), b"\xff"), dtype=np.uint8)
    marks = data[(data == 0xFF) | (data == ord("\n"))]
    return np.diff(np.flatnonzero(marks == ord("\n")), prepend=-1) - 1


def line_number(path: Path, row: int, encoding: str) -> int:
    """Return the number of the line with row ``row`` (0 is the first after the header); blank lines are not rows."""
    with open(path, encoding=encoding) as file:
        numbers = (number for number, line in enumerate(file, start=1) if line.strip(BLANK))
        return next(number for index, number in enumerate(numbers) if index == row + 1)


@dataclass(frozen=True)
class _AtomicFile:
    """A file whose header and row widths have been checked."""

    path: Path
    names: list[str]
    separator: str
    sequence_separator: str
    encoding: str

    def blocks(self, columns: list[str], as_text: list[str]) -> Iterator[pd.DataFrame]:
        """Yield columns in blocks of rows; those not in ``as_text`` become numbers if pandas can read them as such."""
        # Pandas' C parser needs a separator of one byte; with low_memory it would guess types for parts of a block.
        parser = {"low_memory": False} if len(self.separator.encode()) == 1 else {"engine": "python"}
        # Quotes are plain characters in atomic files, and 'NA' or 'null' are valid tokens.
        with pd.read_csv(
            self.path,
            sep=self.separator,
            names=self.names,
            usecols=columns,
            header=0,
            dtype=dict.fromkeys(as_text, str),
            quoting=csv.QUOTE_NONE,
            keep_default_na=False,
            encoding=self.encoding,
            index_col=False,
            chunksize=BLOCK_ROWS,
            **parser,
        ) as reader:
            yield from reader

    def refuse(self, row: int, problem: str):
        """Raise ``DataError`` for a problem in row ``row``; 0 is the first after the header."""
        raise DataError(f"{self.path}, line {line_number(self.path, row, self.encoding)}: {problem}")


def _read_columns(file: _AtomicFile, types: dict[str, str]) -> dict:
    tokens = {name: np.array([], dtype=object) for name, kind in types.items() if kind == "token"}
    blocks_of: dict[str, list] = {name: [] for name in types}
    as_text = [name for name, kind in types.items() if kind != "float"]
    for block in file.blocks(list(types), as_text):
        for name in types:
            cells = block[name].to_numpy()
            if name in tokens:
                cells, tokens[name] = _number_tokens(cells, tokens[name])
            blocks_of[name].append(cells)
    columns = {}
    for name, kind in types.items():
        if kind == "token":
            columns[name] = _token_column(name, np.concatenate(blocks_of.pop(name)), tokens[name], file)
        elif kind == "float":
            columns[name] = _number_column(name, blocks_of.pop(name), file)
        else:
            columns[name] = _sequence_column(name, np.concatenate(blocks_of.pop(name)), kind, file)
    return columns


def _number_tokens(cells: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each cell's index among the tokens, and the tokens: the ``earlier`` ones, then the new ones."""
    codes, tokens = pd.factorize(np.concatenate([earlier, cells]))
    return codes[len(earlier) :].astype(np.int32), tokens


def _token_column(name: str, codes: np.ndarray, tokens: np.ndarray, file: _AtomicFile) -> pd.Categorical:
    if "" in tokens:
        file.refuse(int(np.argmax(tokens[codes] == "")), f"column {name!r} is empty")
    if PAD in tokens:
        file.refuse(int(np.argmax(tokens[codes] == PAD)), f"column {name!r} holds {PAD}, the name of the padding")
    return pd.Categorical.from_codes(codes, categories=tokens)


def _number_column(name: str, blocks: list[np.ndarray], file: _AtomicFile) -> np.ndarray:
    """Return int64 if all cells are whole numbers, so that millisecond times keep their order; else float64."""
    if all(block.dtype in (np.int64, np.float64) for block in blocks):
        numbers = np.concatenate(blocks)
        if np.isfinite(numbers).all():
            return numbers
    return _careful_numbers(name, file)


def _careful_numbers(name: str, file: _AtomicFile) -> np.ndarray:
    """Return the same numbers, read from the cells as text, so that an error message can quote a cell."""
    cells = np.concatenate([block[name].to_numpy() for block in file.blocks([name], [name])])
    numbers = pd.to_numeric(cells, errors="coerce")
    bad = np.flatnonzero(~np.isfinite(numbers.astype(np.float64)))
    if len(bad):
        file.refuse(bad[0], f"column {name!r} holds {shown(cells[bad[0]])}, which is not a number")
    return numbers


def _sequence_column(name: str, cells: np.ndarray, kind: str, file: _AtomicFile) -> pd.Series:
    flat, lengths = _split_cells(cells, file.sequence_separator)
    sequences = cut(flat, lengths)
    for row in range(len(sequences)) if kind == "float_seq" else ():
        numbers = pd.to_numeric(sequences[row], errors="coerce").astype(np.float64)
        if len(bad := np.flatnonzero(~np.isfinite(numbers))):
            file.refuse(row, f"column {name!r} holds {shown(sequences[row][bad[0]])}, which is not a number")
        sequences[row] = numbers
    return pd.Series(sequences, dtype=object)


def _split_cells(cells: np.ndarray, separator: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of all cells, one after another, and how many each cell has; empty values are left out."""
    # Cells hold no line ends, so here "\r" separates values and "\n" is a value that ends a cell.
    text = "\n".join(cells).replace(separator, "\r").replace("\n", "\r\n\r")
    values = np.array([*filter(None, text.split("\r")), "\n"], dtype=object)
    is_end = values == "\n"
    return values[~is_end], (np.diff(np.flatnonzero(is_end), prepend=-1) - 1)[: len(cells)]
