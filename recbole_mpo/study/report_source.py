"""What a report is made of: its rows and their records, kept beside it, so that it can be written again."""

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.files import write_json
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.study.report import Section, write_report
from recbole_mpo.study.run_groups import RunGroup

SOURCE = "runs.json"


class ReportSource(BaseModel):
    """A report's title, rows and own sections.

    Attributes:
        title: heading of the report.
        reference: name of the row that the others are compared with.
        rows: the records of each row by its name, as paths from the report's folder.
        sections: headings and Markdown texts of further sections.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    title: str
    reference: str
    rows: Annotated[dict[str, list[str]], Field(min_length=1)]
    sections: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []

    @classmethod
    def of(cls, groups: list[RunGroup], folder: Path, title: str, reference: str, sections=()) -> "ReportSource":
        """Return what the report of these groups in a folder is made of; the arguments are those of the report."""

        def place(path: Path) -> str:
            return Path(os.path.relpath(path, folder)).as_posix()

        rows = {group.name: [place(path) for _, path in group.runs] for group in groups}
        texts = [[section.title, section.text] for section in sections]
        return cls(title=title, reference=reference, rows=rows, sections=texts)

    @classmethod
    def read(cls, folder: str | Path) -> "ReportSource":
        """Return what the report in a folder is made of.

        Raises:
            RecordError: the file is missing, or is not one that :meth:`write` wrote; the message names the field.
        """
        path = Path(folder) / SOURCE
        try:
            source = cls.model_validate(json.loads(path.read_bytes()))
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise RecordError(f"{path} is damaged: {f'{where}: ' if where else ''}{first['msg']}") from problem
        except OSError as problem:
            raise RecordError(
                f"{path} cannot be read: {problem.strerror}; give the folder of a report that `compare` wrote"
            ) from problem
        except (ValueError, RecursionError) as problem:
            raise RecordError(f"{path} is not valid JSON: {problem}") from problem
        if source.reference not in source.rows:
            raise RecordError(f"{path} is damaged: reference: {source.reference!r} is not one of the rows")
        return source

    def write(self, folder: str | Path):
        """Write it into the report's folder, whole or not at all.

        Raises:
            RecordError: a file of that name is there and is not one of a report.
        """
        path = Path(folder) / SOURCE
        if path.exists():
            try:
                self.read(folder)
            except RecordError as problem:
                raise RecordError(f"{problem}; move it away first, it would be replaced") from problem
        write_json(path, self.model_dump())

    def write_report(self, folder: str | Path, wilcoxon: bool = False) -> list[Path]:
        """Write the report of a folder from its records, and return its files.

        Args:
            folder: the folder.
            wilcoxon: whether to add Wilcoxon's test.

        Raises:
            RecordError: a record or its ranks are missing or damaged, or the records cannot be compared.
            DataError: ``report.html`` is there and is not a page of this package.
        """
        groups = []
        for name, paths in self.rows.items():
            # The folder may not be there yet, and then no way leads through it.
            files = [Path(os.path.normpath(Path(folder, path))) for path in paths]
            try:
                groups.append(RunGroup(name, tuple((read_record(file), file) for file in files)))
            except (OSError, ValueError) as problem:
                # What no file can be called, such as a name of 300 characters.
                raise RecordError(f"{Path(folder) / SOURCE}: rows: {name}: {problem}") from problem
        place = list(self.rows).index(self.reference)
        sections = [Section(*texts) for texts in self.sections]
        return write_report(groups, folder, self.title, place, sections=sections, wilcoxon=wilcoxon)
