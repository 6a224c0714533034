"""Reads tables as blocks of rows of text: CSV, TSV, JSON lines, Parquet or Excel, text formats also gzipped."""

import gzip
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_mpo.common.arrow import require_pyarrow
from recbole_mpo.common.errors import ConfigError, DataError, DependencyError
from recbole_mpo.common.values import suggestion
from recbole_mpo.data.atomic_files import check_encoding
from recbole_mpo.data.exact_times import SAFE_DIGITS
from recbole_mpo.data.prepare.open_files import data_files, foreign, open_text, refuse_bomb
from recbole_mpo.data.prepare.separated import blocks_of_rows, separated_rows
from recbole_mpo.text.lines import undecodable

ROWS_PER_BLOCK = 100_000
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
EXCEL = (".xlsx",)
FORMATS = (*SEPARATORS, *JSON_LINES, ".parquet", *EXCEL)


@dataclass(frozen=True)
class Table:
    """A file with named columns, or a folder of Parquet files with the same ones.

    Attributes:
        path: ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.jsonl``, ``.parquet`` or ``.xlsx``, text formats also ``.gz``; or
            a folder of Parquet files.
        separator: separator of a text file, if the suffix does not give it; JSON, Parquet and Excel have none.
        encoding: encoding of a text file with separators; JSON is always UTF-8.
        names: column names of a file without a header.

    Raises:
        ConfigError: the encoding is unknown, or the separator cannot separate cells.
    """

    path: Path | str
    separator: str | None = None
    encoding: str = "utf-8-sig"
    names: tuple[str, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        check_encoding(self.encoding)
        if self.separator is not None and (not self.separator or any(end in self.separator for end in '\r\n\0"')):
            raise ConfigError(f"separator {self.separator!r} cannot separate cells; give another character")
        if self.encoding.lower() in ("utf-8", "utf8"):
            # A byte order mark would otherwise become part of the first column's name.
            object.__setattr__(self, "encoding", "utf-8-sig")

    @property
    def suffix(self) -> str:
        """Return the file suffix that gives the format."""
        suffixes = [suffix.lower() for suffix in self.path.suffixes if suffix.lower() != ".gz"]
        return suffixes[-1] if suffixes else ""

    def files(self) -> list[Path]:
        """Return the file, or those of a folder of Parquet files as Spark writes it, in the order of their names.

        What begins with a dot or an underline, as ``_SUCCESS`` does, is left out.

        Raises:
            DataError: the folder has no Parquet file.
        """
        if not self.path.is_dir():
            return [self.path]
        files = [file for file in data_files(self.path) if file.suffix.lower() == ".parquet"]
        if not files:
            raise DataError(
                f"{self.path} is a folder without a .parquet file; give a file, or a folder of Parquet files"
            )
        return files

    def blocks(self, columns: Iterable[str], nested: Iterable[str] = ()) -> Iterator[pd.DataFrame]:
        """Yield columns, one block of rows at a time; cells are text, or None if absent.

        Args:
            columns: names of the columns.
            nested: those of them in which lists and objects of JSON lines and Parquet stay as they are.

        Raises:
            DataError: the file or a column is missing, two columns have this name, a row has too many or too few cells,
                or the file has an unknown format, is damaged or is in another encoding.
            DependencyError: the package that reads Parquet or Excel is missing.
        """
        columns = list(dict.fromkeys(columns))
        nested = set(nested)
        if self.path.is_dir():
            for file in self.files():
                yield from Table(file).blocks(columns, nested)
            return
        if not self.path.is_file():
            raise DataError(f"{self.path} does not exist")
        try:
            for block in self._raw_blocks(columns):
                yield _as_text(block, nested, self.path)
        except UnicodeError as problem:
            with gzip.open(self.path) if self.path.suffix == ".gz" else open(self.path, "rb") as file:
                raise undecodable(self.path, file, self.encoding, problem) from problem
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise DataError(f"{self.path} is damaged or cut short ({problem}); get a new copy") from problem

    def _raw_blocks(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        if self.suffix in JSON_LINES:
            return _blocks_of_records(json_lines(self.path), columns, self.path)
        if self.suffix == ".parquet":
            return self._parquet(columns)
        if self.suffix in EXCEL:
            return self._excel(columns)
        if self.separator or self.suffix in SEPARATORS:
            return self._separated(columns)
        suffix = self.suffix or "no suffix"
        raise DataError(f"{self.path}: {suffix} is not a supported format; give one of {', '.join(FORMATS)}")

    def _separated(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        rows = separated_rows(self.path, self.separator or SEPARATORS[self.suffix], self.encoding)
        names = list(self.names or next(rows, (0, []))[1])
        _require(columns, names, self.path)
        yield from blocks_of_rows(rows, names, columns, self.path, ROWS_PER_BLOCK)

    def _parquet(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        pyarrow = require_pyarrow(f"{self.path}: reading it", "data")
        with foreign(self.path, "Parquet"):
            with pyarrow.parquet.ParquetFile(self.path) as file:
                _require(columns, file.schema_arrow.names, self.path)
                for batch in file.iter_batches(ROWS_PER_BLOCK, columns=columns):
                    yield pd.DataFrame({name: batch.column(name).to_pylist() for name in columns}, dtype=object)

    def _excel(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        try:
            import openpyxl
        except ImportError as problem:
            raise DependencyError(
                f"{self.path}: reading it needs openpyxl; run: pip install 'recbole-mpo[data]'"
            ) from problem
        with foreign(self.path, "an Excel workbook"):
            with zipfile.ZipFile(self.path) as archive:
                refuse_bomb(archive, archive.infolist(), self.path)
            rows = openpyxl.load_workbook(self.path, read_only=True, data_only=True).worksheets[0].values
            names = [str(name) for name in next(rows, ())]
            _require(columns, names, self.path)
            places = [names.index(name) for name in columns]
            while block := list(islice(rows, ROWS_PER_BLOCK)):
                cells = [[row[place] if place < len(row) else None for place in places] for row in block]
                yield pd.DataFrame(cells, columns=columns, dtype=object)


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
    except UnicodeError as problem:
        raise DataError(f"{path}, line {number + 1}: not valid UTF-8 ({problem})") from problem
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise DataError(
            f"{path} is damaged or cut short after line {number:,} ({problem}); delete it and run again, or get a new "
            "copy"
        ) from problem


def _json_object(line: str, number: int, path: Path) -> dict:
    try:
        record = json.loads(line, parse_float=_number)
    except (ValueError, RecursionError) as problem:
        if line.lstrip().startswith("<"):
            raise DataError(f"{path} is an HTML page, not data; delete it and get the data file") from problem
        raise DataError(f"{path}, line {number}: not valid JSON ({problem})") from problem
    if not isinstance(record, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, found {line.strip()[:40]!r}")
    return record


def _number(text: str):
    """Return a number of JSON; one with more digits than float64 holds stays exact."""
    return float(text) if len(text) <= SAFE_DIGITS else Decimal(text)


def _blocks_of_records(records: Iterator[dict], columns: list[str], path: Path) -> Iterator[pd.DataFrame]:
    """Yield columns of records; some records may lack a field, but not all."""
    field_names: set[str] = set()
    while block := list(islice(records, ROWS_PER_BLOCK // 2)):
        field_names.update(*block)
        yield pd.DataFrame({name: [record.get(name) for record in block] for name in columns}, dtype=object)
    _require(columns, field_names, path)


def _hint(column: str, names: list[str]) -> str:
    """Return the option to give: a separator where the only column is a line that another one would cut."""
    columns = "; name the right one with --user, --item, --time, --text, --rating or, in --items, --item_column"
    if len(names) != 1:
        return columns
    for separator, written in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
        if column in (name.strip('"') for name in names[0].split(separator)):
            return f". The cells seem to be separated by {written}: give --separator={written}"
    return columns


def _require(columns: list[str], present, path: Path):
    """Refuse columns that are missing, or of which there are two."""
    names = list(map(str, present))
    for column in columns:
        if column not in names:
            raise DataError(
                f"{path} has no column {column!r}{suggestion(column, names)}; its columns are "
                f"{', '.join(names) or 'none'}{_hint(column, names)}"
            )
        if names.count(column) > 1:
            raise DataError(f"{path} has {names.count(column)} columns named {column!r}; rename all but one")


def _as_text(block: pd.DataFrame, nested: set[str], path: Path) -> pd.DataFrame:
    """Return a block with text in its cells."""
    columns = {}
    for name in block:
        try:
            columns[name] = _cells(block[name].to_numpy(), name in nested)
        except TypeError as problem:
            raise DataError(f"{path}, column {name!r}: {problem}; give a column of text or numbers") from problem
    return pd.DataFrame(columns, dtype=object)


def _cells(values: np.ndarray, is_nested: bool) -> list:
    """Return :func:`_cell` of each value; columns of text, the usual case, take a fifth of the time."""
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return [value if value.strip() else None for value in values]
    return [_cell(value, is_nested) for value in values]


def _cell(value, is_nested: bool):
    """Return a value as text: None for an empty cell, a whole number without '.0'."""
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if is_nested and isinstance(value, list | tuple | dict):
        return value
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        raise TypeError(f"{str(value)[:60]!r} is an object")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
