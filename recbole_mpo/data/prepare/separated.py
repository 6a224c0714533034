"""Reads tables whose cells are separated by a text: CSV and its relatives, without losing a row silently."""

import csv
import logging
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.open_files import open_text
from recbole_mpo.text.lines import NUL_ADVICE

logger = logging.getLogger(__name__)

# A last line that tells whether the file ends inside a quoted cell.
_END = "\x00end"


def separated_rows(path: Path, separator: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row and the number of the row's last line; blank lines are skipped.

    Lines inside quoted cells are counted in a warning: a stray quote swallows rows.

    Raises:
        DataError: a line contains a NUL byte, a cell is too long, or the file ends inside a quoted cell.
    """
    swallowed = before = number = 0
    with open_text(path, encoding, newline="") as file:
        lines = _checked(file, path)
        if len(separator) == 1:
            # Tab-separated files have no quoting; a quote character would swallow the rows up to the next one.
            quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
            reader = csv.reader(chain(lines, [_END]), delimiter=separator, quoting=quoting)
            rows = ((reader.line_num, cells) for cells in reader)
        else:
            split = (line.rstrip("\r\n").split(separator) for line in chain(lines, [_END]))
            rows = enumerate(split, start=1)
        try:
            for number, cells in rows:
                swallowed += number - before - 1
                if cells == [_END]:
                    break
                if cells and cells[-1].endswith(_END):
                    raise DataError(f"{path}, line {before + 1}: a quote opens a cell that does not end; remove it")
                if len(cells) > 1 or (cells and cells[0].strip()):
                    yield number, cells
                before = number
        except csv.Error as problem:
            raise DataError(
                f"{path}, line {before + 1}: {problem}; a stray quote may have swallowed rows: remove it"
            ) from problem
    if swallowed:
        logger.warning(
            "%s: %d lines are inside quoted cells, so they are no rows of their own. If no cell holds a line end, a "
            "stray quote has swallowed rows: remove it",
            path,
            swallowed,
        )


def _checked(file, path: Path) -> Iterator[str]:
    """Yield the lines of a file; refuse NUL characters."""
    for number, line in enumerate(file, start=1):
        if "\0" in line:
            raise DataError(f"{path}, line {number}: a NUL byte; {NUL_ADVICE}")
        yield line


def blocks_of_rows(
    rows: Iterator[tuple[int, list[str]]], names: list[str], columns: list[str], path: Path, rows_per_block: int
) -> Iterator[pd.DataFrame]:
    """Yield columns of rows, one block at a time.

    Args:
        rows: numbers of lines, and cells.
        names: names of all columns, in the order of the cells.
        columns: those to yield, each of which is in ``names``.
        path: the file, for messages.
        rows_per_block: rows of a block.

    Raises:
        DataError: a row has another number of cells than there are names; empty cells at its end do not count.
    """
    place_of, width = {name: names.index(name) for name in columns}, len(names)
    while block := list(islice(rows, rows_per_block)):
        for number, cells in block:
            if len(cells) != width:
                _check_width(cells, width, number, path)
        yield pd.DataFrame({name: [cells[place] for _, cells in block] for name, place in place_of.items()})


def _check_width(cells: list[str], width: int, number: int, path: Path):
    """Refuse a row with too many or too few cells: they are in the wrong columns, or the row is damaged."""
    if len(cells) < width:
        problem, advice = "fewer", "the file is damaged, or a separator is missing"
    elif any(cells[width:]):
        problem, advice = "more", "quote cells that contain the separator, or give another --separator"
    else:
        return
    raise DataError(f"{path}, line {number:,} has {problem} than {width} cells: {str(cells)[:200]}; {advice}")
