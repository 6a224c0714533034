"""The rows of a table as Markdown, as columns for a terminal, or as CSV.

A row is a dictionary of texts; every row has the same keys, which are the headings. Texts may come from anywhere, so
none can begin a new line, steer a terminal, add a column or be taken for a formula.
"""

import csv
import io
from collections.abc import Sequence

from recbole_mpo.common.spreadsheet import safe_cell
from recbole_mpo.common.terminal import one_line

# Columns of words; all others hold numbers, which stand to the right.
WORDS = ("model",)


def as_csv(rows: list[dict[str, str]]) -> str:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def unrounded(row: dict) -> dict[str, str]:
    """Return a row of numbers, texts and None as texts, for CSV."""
    return {
        name: "" if value is None else value if isinstance(value, str) else repr(value) for name, value in row.items()
    }


def as_markdown(rows: list[dict[str, str]], words: Sequence[str] = WORDS) -> str:
    """Return rows as a Markdown table, the columns of words to the left."""
    names = list(rows[0])
    lines = [[_markdown_cell(name) for name in names], ["---" if name in words else "---:" for name in names]]
    lines += [[_markdown_cell(row[name]) for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown_cell(text: str) -> str:
    # A control character's escape begins with a backslash, which must not be doubled before it is one.
    text = one_line(text.replace("\\", "\\\\"))
    return text.replace("|", "\\|").replace("<", "&lt;")


def as_text(rows: list[dict[str, str]]) -> str:
    """Return rows as aligned columns under headings of two lines, words to the left."""
    columns = []
    for name in rows[0]:
        first, _, second = name.rpartition(" ")
        cells = [first, second, *(one_line(row[name]) for row in rows)]
        width = max(map(len, cells))
        columns.append([cell.ljust(width) if name in WORDS else cell.rjust(width) for cell in cells])
    return "".join(f"{'  '.join(line).rstrip()}\n" for line in zip(*columns, strict=True))


FORMS = {"markdown": as_markdown, "text": as_text, "csv": as_csv}
