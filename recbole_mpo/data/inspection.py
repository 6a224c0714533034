"""A data set at a glance: statistics, histograms, text coverage and a few histories, as text and as an HTML page."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.files import write_lines
from recbole_mpo.data.atomic_files import find_layout
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.statistics import Statistics, statistics
from recbole_mpo.text.item_text import is_missing, read_dataset_text, text_file

BAR_WIDTH = 40
TITLE_CHARACTERS = 70
NEWEST = 10

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ name }}</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
td, th { padding: .2em 1em .2em 0; text-align: left } li { margin: .2em 0 } .item { color: #777 }
</style></head><body>
<h1>{{ name }}</h1>
<table>{% for what, value in rows %}<tr><td>{{ what }}</td><td>{{ value }}</td></tr>{% endfor %}</table>
{% for figure in figures %}{{ figure | safe }}{% endfor %}
<h2>Histories</h2>
{% for user, lines in histories %}<h3>User {{ user }}</h3>
<ol>{% for item, text in lines %}<li>{{ text }} <span class="item">{{ item }}</span></li>{% endfor %}</ol>{% endfor %}
</body></html>"""


@dataclass(frozen=True)
class Description:
    """What there is to say of a data set.

    Attributes:
        name, files: of the data set.
        statistics: as in a paper's table.
        found: its histories.
        texts: by item token, or None without a text file.
        samples: users and their newest items with texts.
    """

    name: str
    files: tuple[Path, ...]
    statistics: Statistics
    found: Histories
    texts: dict[str, str] | None
    samples: list[tuple[str, list[tuple[str, str]]]]

    def rows(self) -> list[tuple[str, str]]:
        """What and how much."""
        lengths, popularity = self.found.lengths, self.found.popularity
        top = np.sort(popularity)[::-1][: max(1, len(popularity) // 100)].sum() / popularity.sum()
        rows = [
            ("files", ", ".join(path.name for path in self.files)),
            *self.statistics.rows(),
            ("length: least, quartiles, most", _quartiles(lengths)),
            ("interactions an item: least, quartiles, most", _quartiles(popularity)),
            ("interactions with the most popular 1 % of items", f"{top:.1%}"),
            ("interactions with an item the user had before", f"{self._repeated():.1%}"),
        ]
        return rows if self.texts is None else [*rows, *self._text_rows()]

    def _repeated(self) -> float:
        pairs = self.found.users * len(self.found.item_tokens) + self.found.items
        return 1 - len(np.unique(pairs)) / len(pairs)

    def _text_rows(self) -> list[tuple[str, str]]:
        texts = [self.texts[item] for item in self.found.item_tokens if item in self.texts]
        readable = [text for text in texts if not is_missing(text)]
        repeated = sum(count for count in Counter(readable).values() if count > 1)
        words = np.array([len(text.split()) for text in readable] or [0])
        return [
            ("items listed in the text file", f"{len(texts):,}"),
            ("items whose text another one has too", f"{repeated:,}"),
            ("words: least, quartiles, most", _quartiles(words)),
            ("items with text and no interactions", f"{len(self.texts) - len(texts):,}"),
        ]

    def as_text(self) -> str:
        """For the screen."""
        width = max(len(what) for what, _ in self.rows())
        lines = [self.name, *(f"  {what:<{width}}  {value}" for what, value in self.rows())]
        lines += ["", "users by length", *_bars(self.found.lengths)]
        lines += ["", "items by interactions", *_bars(self.found.popularity)]
        for user, items in self.samples:
            lines += ["", f"user {user}, the newest items"]
            lines += [f"  {item}  {text[:TITLE_CHARACTERS]}" for item, text in items]
        return "\n".join(lines)

    def write_page(self, path: str | Path):
        """An HTML page that needs no network.

        Raises:
            DataError: it cannot be written.
        """
        figures = [
            _figure("Users by length of their history", "interactions", self.found.lengths),
            _figure("Items by popularity", "interactions", self.found.popularity),
        ]
        parts = [
            figure.to_html(full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)
        ]
        page = Environment(autoescape=True).from_string(_PAGE)
        content = page.render(name=self.name, rows=self.rows(), figures=parts, histories=self.samples)
        try:
            write_lines(path, content.split("\n"))
        except OSError as problem:
            raise DataError(f"{path} cannot be written: {problem.strerror or problem}") from problem


def describe(data_path: str | Path, name: str, users: int = 3) -> Description:
    """Reads a data set.

    Args:
        data_path, name: ``<data_path>/<name>/<name>*.inter`` and ``.text``.
        users: how many histories to show.

    Raises:
        DataError: the data set is missing or cannot be read.
    """
    found = read_dataset_histories(data_path, name)
    path = text_file(data_path, name)
    item_text = read_dataset_text(path) if path.is_file() else None
    texts = dict(zip(item_text.tokens, item_text.texts, strict=True)) if item_text else None
    of_items = None if texts is None else [texts.get(item, "") for item in found.item_tokens]
    total = statistics(len(found.user_tokens), len(found.items), len(found.item_tokens), of_items)
    samples = [_sample(found, user, texts or {}) for user in range(min(users, len(found.user_tokens)))]
    return Description(name, find_layout(data_path, name).files, total, found, texts, samples)


def inspect(data_path: str | Path, name: str, page: str | Path | None = None, users: int = 3) -> str:
    """A data set in words; ``page`` also writes the HTML page, by default ``<name>.html``, in this folder."""
    description = describe(data_path, name, users)
    page = page or f"{name}.html"
    description.write_page(page)
    return f"{description.as_text()}\n\nwrote {page}"


def _sample(found: Histories, user: int, texts: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
    items = found.item_tokens[found.items[found.users == user][-NEWEST:]]
    return str(found.user_tokens[user]), [(str(item), texts.get(item, "")) for item in items]


def _quartiles(values: np.ndarray) -> str:
    return " / ".join(f"{value:,.0f}" for value in np.percentile(values, [0, 25, 50, 75, 100]))


def _bins(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Counts by powers of two: 1, 2-3, 4-7, …"""
    exponent = np.floor(np.log2(values)).astype(int)
    counts = np.bincount(exponent)
    names = ["1", *(f"{1 << e:,}-{(2 << e) - 1:,}" for e in range(1, len(counts)))]
    return names[exponent.min() :], counts[exponent.min() :]


def _bars(values: np.ndarray) -> list[str]:
    names, counts = _bins(values)
    width = max(map(len, names))
    return [
        f"  {name:>{width}}  {'#' * round(BAR_WIDTH * count / counts.max()):<{BAR_WIDTH}}  {count:,}"
        for name, count in zip(names, counts, strict=True)
    ]


def _figure(title: str, unit: str, values: np.ndarray) -> go.Figure:
    names, counts = _bins(values)
    figure = go.Figure(go.Bar(x=names, y=counts, text=counts))
    figure.update_layout(title=title, xaxis_title=unit, height=320, margin={"l": 40, "r": 20, "t": 50, "b": 40})
    return figure
