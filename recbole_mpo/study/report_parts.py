"""What a report is put together from: tables, pictures and sections, which every form of it shows in its own way."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """Text of whoever asks for the report.

    Attributes:
        title: its heading.
        text: Markdown.
    """

    title: str
    text: str


@dataclass(frozen=True)
class Shown:
    """A cell of a table.

    Attributes:
        text: what is shown.
        order: by what a page sorts; the text where it is None.
    """

    text: str
    order: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: its heading.
        columns: heading of each column.
        rows: cells of each row.
        words: the columns of words, which stand to the left.
        notes: sentences below it, as Markdown.
        marked: position of the row of the reference, if there is one.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]
    words: tuple[str, ...] = ("model",)
    notes: tuple[str, ...] = ()
    marked: int | None = None


@dataclass(frozen=True)
class Picture:
    """A figure, drawn from the rows of its CSV file.

    Attributes:
        name: of its files, without an ending.
        title: its heading.
        rows: what its CSV file holds, unrounded.
        plot: ``{"data": [...], "layout": {...}}`` of plotly.js, which shows these rows.
        notes: sentences below it, as Markdown.
        table: its numbers in short, if they fit into one.
    """

    name: str
    title: str
    rows: tuple[dict, ...]
    plot: dict = field(repr=False)
    notes: tuple[str, ...] = ()
    table: Table | None = None


Part = Section | Table | Picture


def number(value: float | None, form: str = ".4f") -> Shown:
    """Return a number as a cell; blank for None."""
    return Shown("") if value is None else Shown(format(value, form), float(value))


def count(value: float | None) -> Shown:
    """Return a number of things as a cell, with commas."""
    return number(value, ",.0f")


def words(values: Sequence) -> Shown:
    """Return texts or whole numbers as one cell, with commas between them."""
    texts = [str(value) for value in values]
    single = values[0] if len(values) == 1 and isinstance(values[0], int | float) else None
    return Shown(", ".join(texts), single)
