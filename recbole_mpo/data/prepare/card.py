"""The card of a dataset: what it was made from, which steps dropped what, and the hashes of its files."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo import __version__
from recbole_mpo.common.files import file_hash
from recbole_mpo.data.prepare.open_files import data_files
from recbole_mpo.data.prepare.recipe import Step
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.statistics import Statistics


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        name: name of the dataset.
        source: a known source; None for own tables.
        raw_files: files that the dataset was made from.
        split: how the interactions are split.
        notes: sentences about the preparation.
        steps: its steps.
        statistics: the numbers of the dataset.
    """

    name: str
    source: Source | None
    raw_files: tuple[Path, ...]
    split: str
    notes: tuple[str, ...]
    steps: tuple[Step, ...]
    statistics: Statistics

    def lines(self, folder: Path) -> Iterator[str]:
        """Yield the lines of the card of the files in ``folder``."""
        source = self.source.entry if self.source else {}
        yield from (f"# {self.name}", "", source.get("title", "Prepared from own tables") + ".")
        if source:
            yield from (f"Source: {source['citation']}. Licence: {source['licence']}.",)
        yield from ("", f"Made by recbole-mpo {__version__} on {time.strftime('%Y-%m-%d')}; split: {self.split}.", "")
        yield from (f"- {note}" for note in self.notes)
        yield from ("", "| step | interactions | dropped |", "|---|---|---|")
        yield from (f"| {step.what} | {step.interactions:,} | {step.dropped:,} |" for step in self.steps)
        yield from ("", "| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in self.statistics.rows()))
        yield from ("", "| file | bytes | sha256 |", "|---|---|---|")
        written = sorted(path for path in folder.iterdir() if path.name.startswith(f"{self.name}."))
        for path in (*self.raw_files, *written):
            yield from (_row(file, path) for file in data_files(path))


def _row(file: Path, listed: Path) -> str:
    """Return the row of a file, which is in the file or folder ``listed``."""
    return f"| {file.relative_to(listed.parent)} | {file.stat().st_size:,} | {file_hash(file)} |"
