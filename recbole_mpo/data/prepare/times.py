"""Reads the times of a table without loss, block by block: numbers as they are, dates as whole units since 1970.

Shapes: I rows.
"""

import re
from datetime import datetime

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.exact_times import SAFE_DIGITS, exact_numbers

# Ways to write a day, apart from ISO 8601; where two read a date the first is proposed.
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%d.%m.%y", "%m/%d/%y")
# Nanoseconds in the units that dates are written in: the first in which all dates are whole.
UNITS = (1_000_000, 1_000, 1)
# Pandas drops what follows the ninth digit of a second's fraction.
_BELOW_NANOSECONDS = re.compile(r"\.\d{9}0*[1-9]")


class Times:
    """The times of a column, collected over blocks of cells; all of them must be numbers, or all dates.

    Args:
        where: file and column, for messages.
        form: format of dates, as for strptime; ISO 8601 by default.
    """

    def __init__(self, where: str, form: str | None = None):
        self.where, self.form = where, form
        self._numbers: list[np.ndarray] = []
        self._dates: list[np.ndarray] = []
        # The first number, and whether there are dates: all times must be of one kind.
        self._number: str | None = None
        self._has_dates = False

    def add(self, cells: np.ndarray):
        """Add a block of cells, [I] text.

        Raises:
            ConfigError: the format is not a valid date format.
            DataError: a cell is neither a number nor a date, is not what the cells before it are, or is a date with
                parts of a nanosecond.
        """
        if len(cells):
            kind, values = self.read(cells)
            (self._dates if kind == "date" else self._numbers).append(values)

    def read(self, cells: np.ndarray) -> tuple[str, np.ndarray]:
        """Return what a block of cells is, and its values [I].

        ``whole`` numbers are int64, ``float`` numbers are float64, numbers that it may not hold are the cells as they
        are (``text``), and a ``date`` is nanoseconds since 1970, int64. Exceptions are those of :meth:`add`.
        """
        numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy()
        if self.form is None and np.isfinite(numbers.astype(np.float64)).all():
            kind = "whole" if numbers.dtype == np.int64 else "float"
            if kind == "float" and max(map(len, cells)) > SAFE_DIGITS:
                kind, numbers = "text", cells
            self._number = str(numbers[0]) if self._number is None else self._number
        else:
            kind, numbers = "date", self._nanoseconds(cells)
            self._has_dates = True
        if self._has_dates and self._number is not None:
            raise DataError(
                f"{self.where}: {self._number!r} is a number and other cells are dates; write all times in one way"
            )
        return kind, numbers

    def _nanoseconds(self, cells: np.ndarray) -> np.ndarray:
        texts = pd.Series(cells, dtype=object)
        try:
            dates = pd.to_datetime(texts, errors="coerce", utc=True, format=self.form or "ISO8601")
        except ValueError as problem:
            raise ConfigError(f"time_format {self.form!r} is not a valid date format: {problem}") from problem
        bad = np.flatnonzero(dates.isna())
        if len(bad):
            like = "" if self.form is None else f" like {self.form}"
            raise DataError(
                f"{self.where}: {cells[bad[0]]!r} is neither a number nor a date{like}; give "
                f"--time_format={_format_of(str(cells[bad[0]]))}"
            )
        fine = np.flatnonzero(texts.astype(str).str.contains(_BELOW_NANOSECONDS))
        if len(fine):
            raise DataError(f"{self.where}: {cells[fine[0]]!r} has parts of a nanosecond; write nine digits at most")
        return dates.astype("datetime64[ns, UTC]").astype("int64").to_numpy()

    def values(self) -> np.ndarray:
        """Return all times [I]: numbers in 64 bits, dates as milliseconds, or the largest unit that loses nothing.

        Raises:
            DataError: different times are one number in 64 bits.
        """
        if self._dates:
            nanoseconds = np.concatenate(self._dates)
            unit = next(unit for unit in UNITS if not (nanoseconds % unit).any())
            return nanoseconds // unit
        if all(block.dtype == np.int64 for block in self._numbers):
            return np.concatenate([np.empty(0, dtype=np.int64), *self._numbers])
        try:
            return exact_numbers(np.concatenate([block.astype(object) for block in self._numbers]))
        except DataError as problem:
            raise DataError(f"{self.where}: {problem}") from problem


def _format_of(cell: str) -> str:
    """Return a format that reads a cell, as the option takes it; an example where no usual one does."""
    for day in DAYS:
        for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", ", %H:%M"):
            try:
                datetime.strptime(cell.strip(), day + time)
            except ValueError:
                continue
            return f"'{day}{time}' if that is how it is meant"
    return "FORMAT, for example '%d.%m.%Y %H:%M'"
