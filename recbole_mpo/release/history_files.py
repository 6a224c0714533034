"""Histories to recommend for, read from lines, JSON lines or a table.

A history is a list of item tokens, oldest first. The file's ending says which form it has; all are UTF-8, with or
without a byte order mark.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from recbole_mpo.common.errors import DataError

USER, ITEM, TIME = "user_id", "item_id", "timestamp"
SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class History:
    """One history.

    Attributes:
        name: the user of the file, or else the history's number from 1.
        items: item tokens, oldest first.
    """

    name: str
    items: list[str]


def read_histories(path: str | Path) -> list[History]:
    """Return the histories of a file.

    ``.jsonl``, ``.ndjson``, ``.json``: a line per history, a list of tokens or ``{"items": […], "user_id": …}``.
    ``.csv``, ``.tsv``: a table with the columns ``user_id`` and ``item_id``, a row per interaction, in the file's order
    or in that of a column ``timestamp``. Any other file: a line per history, tokens parted by blanks, tabs or commas.

    Args:
        path: the file to read.

    Raises:
        DataError: the file is missing, empty or malformed; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise DataError(f"histories file {path} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise DataError(f"histories file {path} is not valid UTF-8: {problem}") from problem
    ending = path.suffix.lower()
    if ending in SEPARATORS:
        histories = _of_table(text, SEPARATORS[ending], path)
    else:
        # Not splitlines, which also splits at characters that a token or a JSON text may hold.
        lines = text.removesuffix("\n").split("\n") if text else []
        read = _of_json if ending in JSON_LINES else _of_words
        histories = [read(line, number, path) for number, line in enumerate(lines, start=1)]
    if not histories:
        raise DataError(f"histories file {path} is empty; write one history per line, oldest item first")
    return histories


def _of_words(line: str, number: int, path: Path) -> History:
    items = line.replace(",", " ").split()
    if not items:
        raise DataError(f"{path}, line {number}: a history needs at least one item")
    return History(str(number), items)


def _of_json(line: str, number: int, path: Path) -> History:
    place = f"{path}, line {number}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{place} is not valid JSON: {problem}; write one list of item ids per line") from problem
    entry = value if isinstance(value, dict) else {"items": value}
    unknown = entry.keys() - {"items", USER}
    if unknown or "items" not in entry:
        raise DataError(f'{place}: write {{"items": ["a", "b"], "user_id": "u"}} or ["a", "b"]')
    items = entry["items"]
    if not isinstance(items, list) or not items:
        raise DataError(f"{place}: a history needs a list of at least one item")
    return History(_token(entry.get(USER, str(number)), place), [_token(item, place) for item in items])


def _token(value, place: str) -> str:
    # A whole number has one way to be written; 1.0 and true have several.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{place}: {json.dumps(value)} is not an id; write ids as texts")
    return value


def _of_table(text: str, separator: str, path: Path) -> list[History]:
    rows = _rows(text, separator, path)
    names, by_user = next(rows, (1, []))[1], {}
    needed = {USER, ITEM} <= set(names) <= {USER, ITEM, TIME} and len(set(names)) == len(names)
    if not needed:
        found = ", ".join(map(repr, names)) or "none"
        raise DataError(f"{path}: the columns must be {USER}, {ITEM} and, to sort by it, {TIME}; there are {found}")
    for number, cells in rows:
        if len(cells) != len(names):
            raise DataError(f"{path}, line {number}: {len(cells)} cells instead of {len(names)}")
        row = dict(zip(names, cells, strict=True))
        if not row[USER] or not row[ITEM]:
            raise DataError(f"{path}, line {number}: an empty {USER if not row[USER] else ITEM}")
        time = _time(row[TIME], f"{path}, line {number}") if TIME in row else 0
        by_user.setdefault(row[USER], []).append((time, row[ITEM]))
    return [History(user, _in_order(rows_of_user, user, path)) for user, rows_of_user in by_user.items()]


def _rows(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table that are not empty, with the numbers of their last lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as problem:
        raise DataError(f"{path}, line {reader.line_num}: {problem}") from problem


def _time(text: str, place: str) -> Decimal | datetime:
    """Return a time without rounding: a number, or a date such as 2024-05-31T12:00:00."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = None
    if number is not None and number.is_finite():
        return number
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as problem:
        raise DataError(f"{place}: the {TIME} {text!r} is neither a number nor a date like 2024-05-31") from problem


def _in_order(rows: Iterable[tuple], user: str, path: Path) -> list[str]:
    try:
        return [item for _, item in sorted(rows, key=lambda row: row[0])]
    except TypeError as problem:
        raise DataError(f"{path}: user {user!r} has times of several kinds, which have no order") from problem
