"""Reads tables as blocks of rows of text: CSV, TSV, JSON lines, Parquet or Excel, text formats also gzipped."""

import codecs
import csv
import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.common.errors import ConfigError, DataError, DependencyError
from recbole_mpo.common.values import suggestion

ROWS_PER_BLOCK = 100_000
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
EXCEL = (".xlsx",)
# Name of an extra column that catches cells after the last one.
SURPLUS = "\0surplus"
FORMATS = (*SEPARATORS, *JSON_LINES, ".parquet", *EXCEL)


@dataclass(frozen=True)
class Table:
    """A file with named columns.

    Attributes:
        path: ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.jsonl``, ``.parquet`` or ``.xlsx``; text formats also ``.gz``.
        separator: separator of a text file, if the suffix does not give it; JSON, Parquet and Excel have none.
        encoding: encoding of a text file with separators; JSON is always UTF-8.
        names: column names of a file without a header.

    Raises:
        ConfigError: the encoding is unknown.
    """

    path: Path | str
    separator: str | None = None
    encoding: str = "utf-8-sig"
    names: tuple[str, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        try:
            codecs.lookup(self.encoding)
        except LookupError as problem:
            raise ConfigError(f"encoding {self.encoding!r} is unknown; try utf-8, latin-1 or cp1252") from problem

    @property
    def suffix(self) -> str:
        """Return the file suffix that gives the format."""
        suffixes = [suffix.lower() for suffix in self.path.suffixes if suffix.lower() != ".gz"]
        return suffixes[-1] if suffixes else ""

    def blocks(self, columns: Iterable[str], keep_lists=False) -> Iterator[pd.DataFrame]:
        """Yield columns, one block of rows at a time; cells are text, or None if absent.

        Args:
            columns: names of the columns.
            keep_lists: whether lists in JSON lines and Parquet stay lists.

        Raises:
            DataError: the file or a column is missing, or the file has an unknown format, is damaged or is in another
                encoding.
            DependencyError: the package that reads Parquet or Excel is missing.
        """
        columns = list(dict.fromkeys(columns))
        if not self.path.is_file():
            raise DataError(f"{self.path} does not exist")
        try:
            for block in self._raw_blocks(columns):
                _require(columns, block.columns, self.path)
                yield _as_text(block[columns], keep_lists)
        except (UnicodeDecodeError, pd.errors.ParserError) as problem:
            raise DataError(f"{self.path} cannot be read as {self.encoding} text: {problem}") from problem
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise DataError(f"{self.path} is damaged or cut short ({problem}); get a new copy") from problem

    def _raw_blocks(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        if self.suffix in JSON_LINES:
            return _blocks_of_records(json_lines(self.path), columns, self.path)
        if self.suffix == ".parquet":
            return self._parquet(columns)
        if self.suffix in EXCEL:
            return self._excel()
        if self.separator or self.suffix in SEPARATORS:
            return self._separated(columns)
        suffix = self.suffix or "no suffix"
        raise DataError(f"{self.path}: {suffix} is not a supported format; give one of {', '.join(FORMATS)}")

    def _separated(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        separator = self.separator or SEPARATORS[self.suffix]
        names = list(self.names or self._header(separator))
        _require(columns, names, self.path)
        is_simple = len(separator.encode()) == 1
        with pd.read_csv(
            self.path,
            sep=separator if is_simple else re.escape(separator),
            names=[*names, SURPLUS],
            header=None,
            skiprows=1 if self.names is None else 0,
            dtype=str,
            keep_default_na=False,
            # Tab-separated files have no quoting; a quote character would swallow the rows up to the next one.
            quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
            encoding=self.encoding,
            index_col=False,
            chunksize=ROWS_PER_BLOCK,
            engine="c" if is_simple else "python",
        ) as reader:
            for block in reader:
                self._refuse_wide_rows(block, len(names))
                yield block

    def _refuse_wide_rows(self, block: pd.DataFrame, width: int):
        """Refuse rows with too many separators: their cells are in the wrong columns, which pandas does not report."""
        surplus = block[SURPLUS].to_numpy()
        wide = np.flatnonzero([isinstance(cell, str) and cell != "" for cell in surplus])
        if len(wide):
            row = block.iloc[wide[0]]
            raise DataError(
                f"{self.path}, row {row.name + 1:,} after the header has more than {width} cells: {row.to_list()!r}; "
                "quote cells that contain the separator, or give another --separator"
            )

    def _header(self, separator: str) -> list[str]:
        with open_text(self.path, self.encoding) as file:
            line = file.readline().rstrip("\r\n")
        return next(csv.reader([line], delimiter=separator), []) if len(separator) == 1 else line.split(separator)

    def _parquet(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as problem:
            raise _missing_package(self.path, "pyarrow") from problem
        try:
            file = pyarrow.parquet.ParquetFile(self.path)
            _require(columns, file.schema_arrow.names, self.path)
            for batch in file.iter_batches(ROWS_PER_BLOCK, columns=columns):
                yield pd.DataFrame({name: batch.column(name).to_pylist() for name in columns}, dtype=object)
        except pyarrow.ArrowException as problem:
            raise DataError(f"{self.path} cannot be read as Parquet: {problem}") from problem

    def _excel(self) -> Iterator[pd.DataFrame]:
        try:
            import openpyxl
        except ImportError as problem:
            raise _missing_package(self.path, "openpyxl") from problem
        try:
            rows = openpyxl.load_workbook(self.path, read_only=True, data_only=True).worksheets[0].values
            names = [str(name) for name in next(rows, ())]
            while block := list(islice(rows, ROWS_PER_BLOCK)):
                yield pd.DataFrame(block, columns=names, dtype=object)
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as problem:
            raise DataError(f"{self.path} cannot be read as an Excel workbook: {problem}") from problem


def open_text(path: Path, encoding: str = "utf-8-sig"):
    """Open a text file for reading; unzip it if its name ends in ``.gz``."""
    return gzip.open(path, "rt", encoding=encoding) if path.suffix == ".gz" else open(path, encoding=encoding)


def json_lines(path: Path) -> Iterator[dict]:
    """Yield the objects of a file with one JSON object per line; blank lines are skipped.

    Raises:
        DataError: a line is not a JSON object, the file is an HTML page, or it is damaged.
    """
    number = 0
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _json_object(line, number, path)
    except UnicodeDecodeError as problem:
        raise DataError(f"{path}, line {number + 1}: not valid UTF-8 ({problem})") from problem
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise DataError(
            f"{path} is damaged or cut short after line {number:,} ({problem}); delete it and run again, or get a new "
            "copy"
        ) from problem


def _json_object(line: str, number: int, path: Path) -> dict:
    try:
        record = json.loads(line)
    except ValueError as problem:
        if line.lstrip().startswith("<"):
            raise DataError(f"{path} is an HTML page, not data; delete it and get the data file") from problem
        raise DataError(f"{path}, line {number}: not valid JSON ({problem})") from problem
    if not isinstance(record, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, found {line.strip()[:40]!r}")
    return record


def _blocks_of_records(records: Iterator[dict], columns: list[str], path: Path) -> Iterator[pd.DataFrame]:
    """Yield columns of records; some records may lack a field, but not all."""
    field_names: set[str] = set()
    while block := list(islice(records, ROWS_PER_BLOCK // 2)):
        field_names.update(*block)
        yield pd.DataFrame({name: [record.get(name) for record in block] for name in columns}, dtype=object)
    _require(columns, field_names, path)


def _require(columns: list[str], present, path: Path):
    missing = [name for name in columns if name not in present]
    if missing:
        names = list(present)
        raise DataError(
            f"{path} has no column {missing[0]!r}{suggestion(missing[0], names)}; its columns are "
            f"{', '.join(map(str, names)) or 'none'}"
        )


def _missing_package(path: Path, package: str) -> DependencyError:
    return DependencyError(f"{path}: reading it needs {package}; run: pip install 'recbole-mpo[data]'")


def _as_text(block: pd.DataFrame, keep_lists: bool) -> pd.DataFrame:
    return pd.DataFrame({name: _cells(block[name].to_numpy(), keep_lists) for name in block}, dtype=object)


def _cells(values: np.ndarray, keep_lists: bool) -> list:
    """Return :func:`_cell` of each value; columns of text, the usual case, take a fifth of the time."""
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return [value if value.strip() else None for value in values]
    return [_cell(value, keep_lists) for value in values]


def _cell(value, keep_lists: bool):
    """Return a value as text: None for an empty cell, a whole number without '.0'."""
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, list | tuple):
        return list(value) if keep_lists else " ".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parse_times(cells: np.ndarray, where: str, form: str | None = None) -> np.ndarray:
    """Return times as numbers: whole numbers as int64, others as float64, dates as milliseconds.

    Args:
        cells: [I] text.
        where: file and column, for messages.
        form: format of dates, as for strptime; ISO 8601 by default.

    Raises:
        ConfigError: ``form`` is not a valid date format.
        DataError: a cell is neither a number nor a date.
    """
    if form is None:
        numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
        if numbers.notna().all() and np.isfinite(numbers.to_numpy(dtype=np.float64)).all():
            return numbers.to_numpy()
    try:
        dates = pd.to_datetime(pd.Series(cells, dtype=object), errors="coerce", utc=True, format=form or "ISO8601")
    except ValueError as problem:
        raise ConfigError(f"time_format {form!r} is not a valid date format: {problem}") from problem
    bad = np.flatnonzero(dates.isna())
    if len(bad):
        raise DataError(
            f"{where}: {cells[bad[0]]!r} is neither a number nor a date{'' if form is None else f' like {form}'}; "
            "give --time_format=FORMAT, for example %d.%m.%Y"
        )
    return (dates.astype("int64") // 1_000_000).to_numpy()
