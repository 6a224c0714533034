"""A table of runs, computed from their records."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.values import check_choice, read_yaml
from recbole_mpo.quick_start.record import read_record

METRICS = ("hit@10", "hit@50", "ndcg@10", "ndcg@50")
FORMATS = ("markdown", "text", "csv")


def make_table(
    paths: Sequence[str | Path],
    form: str = "markdown",
    metrics: Iterable[str] | None = None,
    mix: bool = False,
    published: bool = False,
) -> str:
    """Return a table of runs, one row per record in the given order.

    Args:
        paths: record files or run folders.
        form: ``markdown``, ``text`` (columns for a terminal) or ``csv`` (unrounded).
        metrics: names of metrics such as ``hit@10``; HIT and NDCG at 10 and 50 by default.
        mix: whether to allow records that cannot be compared.
        published: whether to add the test figures of the MPORec paper for the same model and dataset.

    Raises:
        RecordError: there is no record, a record cannot be read, or the records cannot be compared, since they differ
            in dataset, candidates, targets, item input or evaluation.
        ConfigError: ``form`` is unknown.
    """
    check_choice("format", form, FORMATS)
    if not paths:
        raise RecordError("table needs at least one record: recbole-mpo table saved/*/record.json")
    records = [read_record(path) for path in paths]
    if not mix:
        _check_comparable(records, paths)
    metrics = [metric.lower() for metric in metrics or METRICS]
    rows = [_row(record, metrics, exact=form == "csv") for record in records]
    if published:
        published_figures = read_yaml(find_property("published"))
        columns = [_published(record, metrics, published_figures) for record in records]
        rows = [{**row, **more} for row, more in zip(rows, columns, strict=True)]
    return {"markdown": _markdown, "text": _text, "csv": _csv}[form](rows)


def _check_comparable(records: list[dict], paths):
    # A run that failed before its data were read has no figures; it is shown as failed.
    readable = [(path, record) for path, record in zip(paths, records, strict=True) if record["data"]]
    for label, value_of in _PROTOCOL.items():
        values = [(path, value_of(record)) for path, record in readable]
        for path, value in values[1:]:
            first_path, first = values[0]
            if value != first:
                raise RecordError(
                    f"the records differ in {label}: {first!r} in {first_path}, {value!r} in {path}; their figures "
                    "cannot be compared. Leave one of them out, or use --mix"
                )


def _interaction_files(record: dict) -> dict:
    return {name: digest for name, digest in record["data"]["files"].items() if name.endswith(".inter")}


_PROTOCOL = {
    "the dataset": lambda record: record["dataset"],
    "the interaction files": _interaction_files,
    "the number of candidate items": lambda record: record["data"]["item_num"],
    "the number of targets": lambda record: {k: record["data"]["targets"][k] for k in ("valid", "test")},
    "item_input": lambda record: record["item_input"],
    "the split": lambda record: record["config"]["eval_args"],
    "the longest history": lambda record: record["config"].get("MAX_ITEM_LIST_LENGTH"),
    "eval_mode": lambda record: record["config"].get("eval_mode"),
}


def _label(record: dict) -> str:
    label = record.get("label", record["model"])
    return label if record["status"] == "completed" else f"{label} [{record['status']}]"


def _row(record: dict, metrics, exact: bool) -> dict[str, str]:
    def number(value, form):
        return "" if value is None else (repr(value) if exact else format(value, form))

    row = {
        "model": _label(record),
        "seed": str(record["seed"]),
        "total": number(record["params"].get("total"), ","),
        "trainable": number(record["params"].get("trainable"), ","),
    }
    for split in ("valid", "test"):
        for metric in metrics:
            row[f"{split} {metric}"] = number(record[split].get(metric), ".4f")
    row["best epoch"] = str(record.get("best_epoch", ""))
    row["s/epoch"] = number(record["seconds"].get("per_epoch"), ".1f")
    row["peak MB"] = number(record.get("peak_memory_mb"), ".0f")
    return row


def _published(record: dict, metrics, figures_of: dict) -> dict[str, str]:
    """Return the columns with the paper's figures; empty if the paper has none, such as for a memory."""
    name = figures_of["stands_for"].get(record["model"], record["model"])
    is_papers = record["config"].get("memory", "none") == "none"
    figures = figures_of["datasets"].get(record["dataset"], {}).get(name, []) if is_papers else []
    values = dict(zip(figures_of["metrics"], figures, strict=False))
    return {f"published {metric}": format(values[metric], ".4f") if metric in values else "" for metric in metrics}


def _csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _markdown(rows: list[dict]) -> str:
    names = list(rows[0])
    lines = [names, ["---" if name == "model" else "---:" for name in names]]
    lines += [[row[name].replace("|", "\\|") for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(rows: list[dict]) -> str:
    """Return aligned columns under headings of two lines, the first column to the left."""
    columns = []
    for name in rows[0]:
        first, _, second = name.rpartition(" ")
        cells = [first, second, *(row[name] for row in rows)]
        width = max(map(len, cells))
        columns.append([cell.ljust(width) if name == "model" else cell.rjust(width) for cell in cells])
    return "".join(f"{'  '.join(line).rstrip()}\n" for line in zip(*columns, strict=True))
