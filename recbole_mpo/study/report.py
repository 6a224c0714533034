"""The report of a comparison: Markdown, a page, CSV, a LaTeX table, and the figures with their data."""

from collections.abc import Sequence
from pathlib import Path

from recbole_mpo.common.errors import DependencyError, RecordError
from recbole_mpo.common.files import replacing
from recbole_mpo.common.rank_gains import split_metric
from recbole_mpo.study.forms import as_csv, unrounded
from recbole_mpo.study.protocol import check_same_evaluation
from recbole_mpo.study.report_figures import cost_pictures, difference_picture, training_picture
from recbole_mpo.study.report_forms import as_long_csv, as_report_markdown, as_tex
from recbole_mpo.study.report_header import header_table
from recbole_mpo.study.report_images import draw_svgs
from recbole_mpo.study.report_page import write_report_page
from recbole_mpo.study.report_parts import Part, Picture, Section
from recbole_mpo.study.report_rows import Results
from recbole_mpo.study.report_tables import (
    beside_table,
    cost_table,
    difference_table,
    published_tables,
    result_table,
    unfinished_table,
)
from recbole_mpo.study.report_users import overlap_picture, user_pictures
from recbole_mpo.study.run_groups import RunGroup
from recbole_mpo.study.table import METRICS

__all__ = ["Section", "write_report"]


def write_report(
    groups: Sequence[RunGroup],
    output: str | Path,
    title: str,
    reference: int,
    metrics: Sequence[str] | None = None,
    sections: Sequence[Section] = (),
    wilcoxon: bool = False,
) -> list[Path]:
    """Write the report of a comparison and return its files, each written whole or not at all.

    ``report.md``, ``report.html`` (one page without network), ``report.csv`` (unrounded, one row per group and metric),
    ``report.tex``, ``figures/*.csv`` and, where kaleido and a browser are there, ``figures/*.svg``; otherwise one line
    is printed that says why, and former SVG files stay as far as the data beside them are the same.

    Args:
        groups: runs of one dataset and protocol, with ranks beside the records of the completed ones.
        output: the folder.
        title: heading of the report.
        reference: position of the group from which to show differences.
        metrics: names of test metrics that follow from ranks; by default :data:`METRICS` or, without them, all.
        sections: more text, which follows the tables and figures.
        wilcoxon: whether to add Wilcoxon's test.

    Raises:
        RecordError: there is no run; two groups have the same name; the runs differ in data, candidates or protocol,
            which the message names; ranks are missing, damaged or of other users; or a metric does not follow from
            ranks.
        DataError: ``report.html`` is there and is not a page of this package.
    """
    _check_groups(groups)
    results = Results.of(groups, reference, metrics or _metrics_of(groups[reference]), wilcoxon)
    parts = [*report_parts(results), *sections]
    return write_parts(parts, output, title, {"report.csv": as_long_csv(results), "report.tex": as_tex(title, results)})


def write_parts(parts: Sequence[Part], output: str | Path, title: str, texts: dict[str, str]) -> list[Path]:
    """Write ``report.html``, ``report.md``, the figures and further texts, each whole or not at all; return the files.

    Args:
        parts: tables, figures and sections in the order of reading.
        output: the folder.
        title: heading of the report.
        texts: content of further files by name.

    Raises:
        DataError: ``report.html`` is there and is not a page of this package.
    """
    output = Path(output)
    # First, since it may refuse to replace a file that somebody else wrote.
    write_report_page(output / "report.html", title, parts)
    files = _figure_files([part for part in parts if isinstance(part, Picture)])
    drawn = {Path(name).stem for name in files if name.endswith(".svg")} | _remove_former(output / "figures", files)
    texts = {"report.md": as_report_markdown(title, parts, drawn), **texts}
    files |= {name: _encoded(text) for name, text in texts.items()}
    for name, content in files.items():
        with replacing(output / name) as file:
            file.write(content)
    return [output / name for name in ("report.html", *files)]


def _figure_files(pictures: list[Picture]) -> dict[str, bytes]:
    """Return the content of the figures' files; without SVG, and a line that says why, where they cannot be drawn."""
    files = {
        f"figures/{picture.name}.csv": _encoded(as_csv([unrounded(row) for row in picture.rows]))
        for picture in pictures
    }
    try:
        images = draw_svgs([picture.plot for picture in pictures]) if pictures else []
    except DependencyError as problem:
        print(f"The report has no SVG figures: {problem}")
        return files
    return files | {f"figures/{picture.name}.svg": image for picture, image in zip(pictures, images, strict=True)}


def _encoded(text: str) -> bytes:
    # JSON can hold a lone half of a surrogate pair.
    return text.encode(errors="replace")


def _check_groups(groups: Sequence[RunGroup]):
    if not any(group.runs for group in groups):
        raise RecordError("a report needs at least one run")
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise RecordError(f"two groups of runs are named {name}; their rows could not be told apart")
    check_same_evaluation([run for group in groups for run in group.runs])


def _metrics_of(group: RunGroup) -> list[str]:
    of_ranks = [name for record, _ in group.completed[:1] for name in record["test"] if split_metric(name)]
    return of_ranks if of_ranks and not {*METRICS} <= {*of_ranks} else list(METRICS)


def report_parts(results: Results) -> list[Part]:
    """Return the tables and figures of a report in the order of reading."""
    has_reference = bool(results.groups[results.reference].completed)
    parts: list[Part | None] = [
        header_table(results),
        result_table(results),
        unfinished_table(results),
        difference_picture(results),
        *(difference_table(results, metric) for metric in results.metrics if has_reference),
        cost_table(results),
        *cost_pictures(results),
        beside_table(results),
        training_picture(results),
        *user_pictures(results),
        overlap_picture(results),
        *published_tables(results),
    ]
    return [part for part in parts if part is not None]


def _remove_former(folder: Path, files: dict[str, bytes]) -> set[str]:
    """Remove the figures of a former report that would show other numbers; return the names of the SVG files that stay.

    Args:
        folder: the folder of the figures.
        files: content of the files that are to be written.
    """
    kept = set()
    for path in folder.glob("*.svg"):
        data = path.with_suffix(".csv")
        if f"figures/{path.name}" in files:
            continue
        if data.is_file() and data.read_bytes() == files.get(f"figures/{data.name}"):
            kept.add(path.stem)
        else:
            path.unlink()
    for path in folder.glob("*.csv"):
        if f"figures/{path.name}" not in files:
            path.unlink()
    return kept
