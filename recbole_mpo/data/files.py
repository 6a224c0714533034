"""Atomic interaction files: which layout a data set has, and its columns as a data frame.

The two layouts are RecBole's: one ``<Name>.inter``, or pre-split ``<Name>.train/.valid/.test.inter`` whose rows
carry their history in ``item_id_list``.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.errors import DataError

SPLITS = ("train", "valid", "test")
# What a line that pandas skips may hold; tabs separate cells, so a line of tabs is a row.
BLANK = " \r\n"


@dataclass(frozen=True)
class Layout:
    """Where a data set's interactions stand and which RecBole settings read them."""

    files: tuple[Path, ...]
    is_presplit: bool

    def settings(self, user: str, item: str, time: str, list_suffix: str) -> dict:
        """RecBole's keys for this layout; ``.item`` stays unloaded, it would enlarge the candidate set."""
        if self.is_presplit:
            history = item + list_suffix
            return {
                "benchmark_filename": list(SPLITS),
                "alias_of_item_id": [history],
                "load_col": {"inter": [user, history, item]},
            }
        return {"load_col": {"inter": [user, item, time]}}


def find_layout(data_path: str | Path, name: str) -> Layout:
    """The layout of data set ``name`` below ``data_path``.

    Raises:
        DataError: the folder or the files are missing; names what was looked for and similar data sets.
    """
    folder = Path(data_path) / name
    single = folder / f"{name}.inter"
    split = tuple(folder / f"{name}.{part}.inter" for part in SPLITS)
    present = [path for path in split if path.is_file()]
    if len(present) == len(split):
        return Layout(split, True)
    if single.is_file():
        return Layout((single,), False)
    if present:
        missing = ", ".join(path.name for path in split if path not in present)
        raise DataError(f"{folder} holds a pre-split data set without {missing}; all three files are needed")
    raise DataError(
        f"data set {name!r} not found: neither {single} nor {split[0].name}, {split[1].name}, {split[2].name} "
        f"exists{_suggest(Path(data_path), name)}. Set --data_path to the folder that holds {name}/"
    )


def _suggest(data_path: Path, name: str) -> str:
    if not data_path.is_dir():
        return f" (data_path {data_path} is no folder)"
    names = [path.name for path in data_path.iterdir() if path.is_dir()]
    near = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def read_header(path: Path, separator: str, encoding: str) -> dict[str, str]:
    """Field name to RecBole type name, in file order."""
    with open(path, encoding=encoding) as file:
        line = file.readline().rstrip("\r\n")
    fields = {}
    for column in line.split(separator):
        name, _, kind = column.partition(":")
        if kind not in ("token", "token_seq", "float", "float_seq"):
            raise DataError(
                f"{path}, line 1: column {column!r} is not 'name:type' with type token, token_seq, float or "
                "float_seq"
            )
        if name in fields:
            raise DataError(f"{path}, line 1: column {name!r} is there twice")
        fields[name] = kind
    return fields


def read_atomic(path: str | Path, columns, separator="\t", encoding="utf-8") -> tuple[pd.DataFrame, dict]:
    """Columns of an atomic file as text (tokens, sequences) or numbers (``:float``, in 64 bits).

    Args:
        path: the file.
        columns: names to read; None reads all.

    Returns:
        The frame and ``{field: RecBole type name}``.

    Raises:
        DataError: missing file or column, rows of the wrong width, an empty token, a non-number, bytes of
            another encoding.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    # A byte order mark would otherwise become part of the first column's name.
    encoding = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    try:
        header = read_header(path, separator, encoding)
        wanted = _wanted_columns(header, columns, path)
        _check_widths(path, len(header), separator, encoding)
        # Quotes are plain characters in atomic files, and 'NA' or 'null' are legitimate tokens.
        frame = pd.read_csv(
            path,
            sep=separator,
            names=list(header),
            usecols=wanted,
            header=0,
            dtype=str,
            quoting=3,
            keep_default_na=False,
            encoding=encoding,
            index_col=False,
        )
    except (pd.errors.ParserError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem
    _check_cells(frame, header, path, encoding)
    return frame, {name: header[name] for name in wanted}


def _wanted_columns(header: dict[str, str], columns, path: Path) -> list[str]:
    if columns is None:
        return list(header)
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(header)}. "
            "Rename the column or set USER_ID_FIELD, ITEM_ID_FIELD, TIME_FIELD or load_col"
        )
    return [name for name in header if name in columns]


def _check_widths(path: Path, width: int, separator: str, encoding: str):
    """Pandas cuts rows that are too wide and fills those too short, in silence."""
    with open(path, encoding=encoding) as file:
        for number, line in enumerate(file, start=1):
            if line.count(separator) != width - 1 and line.strip(BLANK):
                raise DataError(
                    f"{path}, line {number} has {line.count(separator) + 1} columns, the header {width}"
                )


def line_number(path: Path, row: int, encoding: str) -> int:
    """Where row ``row`` (0 is the first after the header) stands; blank lines are no rows."""
    with open(path, encoding=encoding) as file:
        numbers = (number for number, line in enumerate(file, start=1) if line.strip(BLANK))
        return next(number for index, number in enumerate(numbers) if index == row + 1)


def _check_cells(frame: pd.DataFrame, header: dict[str, str], path: Path, encoding: str):
    for name in frame:
        if header[name] == "token":
            empty = np.flatnonzero(frame[name] == "")
            if len(empty):
                raise DataError(f"{path}, line {line_number(path, empty[0], encoding)}: column {name!r} is empty")
        elif header[name] == "float":
            frame[name] = _numbers(frame[name], path, encoding)


def _numbers(column: pd.Series, path: Path, encoding: str) -> pd.Series:
    """int64 where every cell is a whole number, so that millisecond times keep their order; else float64."""
    numbers = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(~np.isfinite(numbers.to_numpy(dtype=np.float64)))
    if len(bad):
        number = line_number(path, bad[0], encoding)
        cell = column.iloc[bad[0]]
        raise DataError(f"{path}, line {number}: column {column.name!r} holds {cell!r}, which is no number")
    return numbers
