"""A summary of a dataset: statistics, histograms, text coverage and a few histories, as text and as an HTML page.

Shapes: U users, N items.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from recbole_mpo.common.page import PLOT_SETTINGS, write_page
from recbole_mpo.common.terminal import one_line
from recbole_mpo.data.atomic_files import RECBOLE_FIELDS, Fields, find_layout
from recbole_mpo.data.histories import Histories, read_dataset_histories
from recbole_mpo.data.statistics import Statistics
from recbole_mpo.text.item_text import is_missing, read_dataset_text, text_file

BAR_WIDTH = 40
TITLE_CHARACTERS = 70
NEWEST = 10

_BODY = """<table>{% for what, value in rows %}<tr><td>{{ what }}</td><td>{{ value }}</td></tr>{% endfor %}</table>
{% for figure in figures %}{{ figure | safe }}{% endfor %}
<h2>Histories</h2>
{% for user, lines in samples %}<h3>User {{ user }}</h3>
<ol>{% for item, text in lines %}<li>{{ text }} <span class="item">{{ item }}</span></li>{% endfor %}</ol>
{%- endfor %}"""


@dataclass(frozen=True)
class Description:
    """The summary of a dataset.

    Attributes:
        name: the dataset's name.
        files: its interaction files.
        statistics: its numbers, as in a paper's table.
        histories: the histories of all users.
        texts: the texts by item token; None without a text file.
        samples: some users with their newest items and the items' texts.
    """

    name: str
    files: tuple[Path, ...]
    statistics: Statistics
    histories: Histories
    texts: dict[str, str] | None
    samples: list[tuple[str, list[tuple[str, str]]]]

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        lengths, popularity = self.histories.lengths, self.histories.popularity
        top = np.sort(popularity)[::-1][: max(1, len(popularity) // 100)].sum() / popularity.sum()
        rows = [
            ("files", ", ".join(path.name for path in self.files)),
            *self.statistics.rows(),
            ("history length: minimum, quartiles, maximum", _quartiles(lengths)),
            ("interactions per item: minimum, quartiles, maximum", _quartiles(popularity)),
            ("interactions with the most popular 1 % of items", f"{top:.1%}"),
            ("interactions that repeat an item of the user", f"{self._repeated():.1%}"),
        ]
        return rows if self.texts is None else [*rows, *self._text_rows()]

    def _repeated(self) -> float:
        pairs = self.histories.users * len(self.histories.item_tokens) + self.histories.items
        return 1 - len(np.unique(pairs)) / len(pairs)

    def _text_rows(self) -> list[tuple[str, str]]:
        texts = [self.texts[item] for item in self.histories.item_tokens if item in self.texts]
        readable = [text for text in texts if not is_missing(text)]
        repeated = sum(count for count in Counter(readable).values() if count > 1)
        words = np.array([len(text.split()) for text in readable] or [0])
        return [
            ("items in the text file", f"{len(texts):,}"),
            ("items that share their text with another item", f"{repeated:,}"),
            ("words per text: minimum, quartiles, maximum", _quartiles(words)),
            ("items in the text file without interactions", f"{len(self.texts) - len(texts):,}"),
        ]

    def as_text(self) -> str:
        """Return the summary as lines for the screen."""
        width = max(len(what) for what, _ in self.rows())
        lines = [self.name, *(f"  {what:<{width}}  {value}" for what, value in self.rows())]
        lines += ["", "users by length", *_bars(self.histories.lengths)]
        lines += ["", "items by interactions", *_bars(self.histories.popularity)]
        for user, items in self.samples:
            lines += ["", f"user {one_line(user)}, the newest items"]
            lines += [f"  {one_line(item)}  {one_line(text[:TITLE_CHARACTERS])}" for item, text in items]
        return "\n".join(lines)

    def write_page(self, path: str | Path):
        """Write the summary as an HTML page that needs no network.

        Raises:
            DataError: the page cannot be written.
        """
        charts = [
            _figure("Users by length of their history", "interactions", self.histories.lengths),
            _figure("Items by popularity", "interactions", self.histories.popularity),
        ]
        figures = [
            chart.to_html(full_html=False, include_plotlyjs=number == 0, config=PLOT_SETTINGS)
            for number, chart in enumerate(charts)
        ]
        write_page(path, self.name, _BODY, rows=self.rows(), figures=figures, samples=self.samples)


def describe(data_path: str | Path, name: str, users: int = 3, fields: Fields = RECBOLE_FIELDS) -> Description:
    """Read a dataset and summarise it.

    Args:
        data_path, name: ``<data_path>/<name>/<name>*.inter`` and ``.text``.
        users: how many histories to show.
        fields: names of the files' columns.

    Raises:
        DataError: the dataset is missing or cannot be read.
    """
    histories = read_dataset_histories(data_path, name, fields)
    path = text_file(data_path, name)
    texts = read_dataset_text(path).by_token() if path.is_file() else None
    texts_of_items = None if texts is None else [texts.get(item, "") for item in histories.item_tokens]
    counts = len(histories.user_tokens), len(histories.item_tokens), len(histories.items)
    samples = [_sample(histories, user, texts or {}) for user in range(min(users, len(histories.user_tokens)))]
    files = find_layout(data_path, name).files
    return Description(name, files, Statistics.of(*counts, texts_of_items), histories, texts, samples)


def inspect(
    data_path: str | Path,
    name: str,
    page: str | Path | None = None,
    users: int = 3,
    fields: Fields = RECBOLE_FIELDS,
) -> str:
    """Return a dataset's summary as text, and write its HTML page: ``page``, or ``<name>.html`` in this folder.

    Raises:
        DataError: the dataset is missing or cannot be read, or the page cannot be written.
    """
    description = describe(data_path, name, users, fields)
    page = page or f"{name}.html"
    description.write_page(page)
    return f"{description.as_text()}\n\nwrote {page}"


def _sample(histories: Histories, user: int, texts: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
    items = histories.item_tokens[histories.items[histories.users == user][-NEWEST:]]
    return str(histories.user_tokens[user]), [(str(item), texts.get(item, "")) for item in items]


def _quartiles(values: np.ndarray) -> str:
    return " / ".join(f"{value:,.0f}" for value in np.percentile(values, [0, 25, 50, 75, 100]))


def _bins(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Count the values between powers of two: 1, 2-3, 4-7, …"""
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
