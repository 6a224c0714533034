"""A prepared dataset, and how its files and its card are written.

Shapes: I interactions, N items.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.common.files import write_lines
from recbole_mpo.common.values import check_choice
from recbole_mpo.data.atomic_files import RECBOLE_FIELDS, SINGLE_SUFFIX, SPLIT_SUFFIXES, SPLITS
from recbole_mpo.data.prepare.card import Card
from recbole_mpo.data.prepare.presplit import presplit_rows, temporal_bounds
from recbole_mpo.data.prepare.recipe import Interactions, Step
from recbole_mpo.data.prepare.rows_hash import RowsHash
from recbole_mpo.data.prepare.shards import items_of, parts_of, write_shards
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.whole_folder import CARD, new_files
from recbole_mpo.data.sequences import cut
from recbole_mpo.data.statistics import Statistics
from recbole_mpo.text.item_text import TEXT_HEADER

LAYOUTS = ("single", "presplit")
WAYS_TO_SPLIT = ("leave-one-out", "temporal")
OUTPUT_FORMATS = ("inter", "parquet")
# A file each, all of which a run opens.
MOST_PARTS = 1 << 16


@dataclass(frozen=True)
class Form:
    """The form in which a dataset is written.

    Attributes:
        split: ``leave-one-out``, or ``temporal``, which holds out the newest interactions of all users together.
        layout: ``single``, one ``.inter`` file, or ``presplit``, UniSRec's three files with numbered users and items.
            A temporal split always has three files; without ``presplit`` they hold the raw names.
        ratios: shares of train, valid and test in a temporal split.
        output_format: ``inter``, lines of text, or ``parquet``, whole histories in parts by user.
        parts: number of parts in Parquet, 1 to 65,536.

    Raises:
        ConfigError: a value is not one of its choices, the ratios are not positive or do not sum to 1, the number of
            parts is out of range, or Parquet is to be split.
    """

    split: str = "leave-one-out"
    layout: str = "single"
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    output_format: str = "inter"
    parts: int = 64

    def __post_init__(self):
        check_choice("split", self.split, WAYS_TO_SPLIT)
        check_choice("layout", self.layout, LAYOUTS)
        if len(self.ratios) != 3 or min(self.ratios) <= 0 or abs(sum(self.ratios) - 1) > 1e-6:
            raise ConfigError(f"split_ratio must be three positive numbers that sum to 1, not {list(self.ratios)}")
        check_choice("output_format", self.output_format, OUTPUT_FORMATS)
        if not 1 <= self.parts <= MOST_PARTS:
            raise ConfigError(f"parts is {self.parts}; give 1 to {MOST_PARTS:,}")
        if self.output_format == "parquet" and self.is_presplit:
            key = "layout=presplit" if self.is_numbered else "split=temporal"
            raise ConfigError(f"output_format=parquet holds whole histories, which a run splits; leave --{key} out")

    @property
    def is_presplit(self) -> bool:
        """Return whether three files are written."""
        return self.layout == "presplit" or self.split == "temporal"

    @property
    def is_numbered(self) -> bool:
        """Return whether the interactions hold numbers, whose names are in ``.user2index`` and ``.item2index``."""
        return self.layout == "presplit"


@dataclass(frozen=True)
class Prepared:
    """Ordered interactions and item texts of a dataset.

    Attributes:
        name: name of the dataset.
        interactions: the interactions, sorted by :meth:`~Interactions.in_order`.
        texts: texts of ``interactions.item_tokens``; None if there are no texts.
        raw_files: files that the dataset was made from.
        source: a known source; None for own tables.
        notes: sentences for the card.
        other_texts: texts of items without interactions, by token.
        remarks: sentences about texts that were left out, for the card and the screen.
    """

    name: str
    interactions: Interactions
    texts: list[str] | None
    raw_files: tuple[Path, ...]
    source: Source | None
    notes: tuple[str, ...]
    other_texts: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the preparation."""
        return self.interactions.steps

    @property
    def other_items(self) -> int:
        """Number of items that only have text."""
        return len(self.other_texts)

    def statistics(self) -> Statistics:
        """Return the statistics of the dataset."""
        rows = self.interactions
        return Statistics.of(len(rows.user_tokens), len(rows.item_tokens), len(rows), self.texts)

    def write(self, data_path: str | Path, form: Form) -> Path:
        """Write ``<data_path>/<name>``, all of its files or none.

        Returns:
            The folder.

        Raises:
            DataError: a split would be empty, or the files cannot be written.
        """
        with new_files(data_path, self.name) as folder:
            if form.is_numbered:
                write_index(folder / f"{self.name}.user2index", self.interactions.user_tokens)
                write_index(folder / f"{self.name}.item2index", self.all_items())
            if self.texts is not None:
                write_lines(folder / f"{self.name}.text", self._text_lines())
            if form.output_format == "parquet":
                self._write_shards(folder, form)
            else:
                self._write_lines(folder, form)
            write_lines(folder / CARD, self._card(form).lines(folder))
        return Path(data_path) / self.name

    def _write_lines(self, folder: Path, form: Form):
        files = self._presplit_files(form) if form.is_presplit else {SINGLE_SUFFIX: self._inter_lines()}
        for suffix, lines in files.items():
            path = folder / f"{self.name}{suffix}"
            write_lines(path, lines)
            _refuse_empty(path, form)

    def _write_shards(self, folder: Path, form: Form):
        total = RowsHash()
        parts = parts_of(self.interactions, form.parts, total)
        write_shards(folder, self.name, parts, items_of(self.interactions), total)

    def _card(self, form: Form) -> Card:
        notes = (*self.notes, *self.all_remarks())
        return Card(self.name, self.source, self.raw_files, form.split, notes, self.steps, self.statistics())

    def _inter_lines(self) -> Iterator[str]:
        rows = self.interactions
        users, items = rows.user_tokens.tolist(), rows.item_tokens.tolist()
        yield RECBOLE_FIELDS.single_header
        for user, item, moment in zip(rows.users.tolist(), rows.items.tolist(), rows.times.tolist(), strict=True):
            yield f"{users[user]}\t{items[item]}\t{moment}"

    def _text_lines(self) -> Iterator[str]:
        yield TEXT_HEADER
        texts = [*self.texts, *self.other_texts.values()]
        yield from (f"{token}\t{text}" for token, text in zip(self.all_items(), texts, strict=True))

    def all_items(self) -> list[str]:
        """Return the tokens of the items with interactions, then of those that only have text."""
        return [*self.interactions.item_tokens, *self.other_texts]

    def all_remarks(self) -> tuple[str, ...]:
        """Return what is to be said about rows, then about texts."""
        return (*self.interactions.remarks, *self.remarks)

    def _presplit_files(self, form: Form) -> dict[str, Iterator[str]]:
        rows = self.interactions
        users, items = rows.user_tokens, rows.item_tokens
        if form.is_numbered:
            users, items = np.arange(len(users)), np.arange(len(items))
        elif any(" " in token for token in items):
            raise DataError(
                "an item's name contains a space, which separates the items of a history in pre-split files; give "
                "--layout=presplit, which numbers the items"
            )
        times = cut(rows.times, np.bincount(rows.users))
        histories = zip(users, (items[history] for history in rows.histories()), times, strict=True)
        bounds = temporal_bounds(rows.times, form.ratios) if form.split == "temporal" else None
        return presplit_files(list(histories), bounds)


def write_index(path: Path, tokens):
    """Write UniSRec's ``.user2index`` or ``.item2index``: lines of raw name, tab and number, without a header."""
    write_lines(path, (f"{token}\t{number}" for number, token in enumerate(tokens)))


def presplit_files(histories: list[tuple], bounds=None) -> dict[str, Iterator[str]]:
    """Return the lines of UniSRec's three files by suffix; the arguments are those of :func:`presplit_rows`."""
    lines = (_with_header(presplit_rows(split, histories, bounds)) for split in SPLITS)
    return dict(zip(SPLIT_SUFFIXES, lines, strict=True))


def _refuse_empty(path: Path, form: Form):
    with open(path, encoding="utf-8") as file:
        if len(list(islice(file, 2))) == 2:
            return
    cause = (
        "too many interactions have the same times for this split_ratio"
        if form.split == "temporal"
        else "no user has enough interactions (four are needed)"
    )
    raise DataError(f"{path.name} would be empty: {cause}")


def _with_header(rows: Iterator[str]) -> Iterator[str]:
    yield RECBOLE_FIELDS.split_header
    yield from rows
