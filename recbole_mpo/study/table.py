"""A table of runs, computed from their records."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from recbole_mpo.common.errors import ConfigError, RecordError
from recbole_mpo.common.values import check_choice
from recbole_mpo.quick_start.record import read_record, record_file
from recbole_mpo.study.forms import FORMS
from recbole_mpo.study.groups import GROUPINGS, group_users
from recbole_mpo.study.protocol import check_protocol
from recbole_mpo.study.published_figures import published_of
from recbole_mpo.study.reference import difference_columns

METRICS = ("hit@10", "hit@50", "ndcg@10", "ndcg@50")


def make_table(
    paths: Sequence[str | Path],
    form: str = "markdown",
    metrics: Iterable[str] | None = None,
    mix: bool = False,
    published: bool = False,
    reference: str | Path | None = None,
    by: str | None = None,
) -> str:
    """Return a table of runs, one row per record in the given order, or per group of test users and record.

    Args:
        paths: record files or run folders.
        form: ``markdown``, ``text`` (columns for a terminal) or ``csv`` (unrounded).
        metrics: names of metrics such as ``hit@10``; HIT and NDCG at 10 and 50 by default.
        mix: whether to allow records that cannot be compared.
        published: whether to add the test figures of the MPORec paper for the same model and dataset.
        reference: a run from which to show the differences of the others over users: of each test metric the mean
            difference, the ends of its 95 % bootstrap interval, and the p-value of the two-sided paired t-test. It is
            the first row unless it is one of ``paths``.
        by: what to group the test users by, a key of ``GROUPINGS`` such as ``history_length``; with it the table shows
            test metrics alone. Groups of few users have no differences (:func:`group_users`).

    Raises:
        RecordError: there is no record, a record cannot be read, or the records cannot be compared, since they differ
            in dataset, candidates, targets, item input or evaluation; or the ranks beside them cannot be paired.
        ConfigError: ``form`` or ``by`` is unknown, or there are published figures of groups to show.
    """
    check_choice("format", form, FORMS)
    if by is not None and published:
        raise ConfigError("the published figures are of all users; leave out published or by")
    paths, position = _with_reference(list(paths), reference)
    if not paths:
        raise RecordError("table needs at least one record: recbole-mpo table saved/*/record.json")
    runs = [(read_record(path), path) for path in paths]
    check_protocol(runs, mix, paired=position is not None or by is not None)
    metrics, exact = [metric.lower() for metric in metrics or METRICS], form == "csv"
    rows = _rows(runs, position, metrics, exact) if by is None else _group_rows(runs, position, by, metrics, exact)
    return FORMS[form](_with_published(rows, runs, metrics) if published else rows)


def _rows(runs: list[tuple], reference: int | None, metrics: list[str], exact: bool) -> list[dict[str, str]]:
    if reference is not None:
        return _paired_rows(runs, reference, metrics, exact)
    return [_row(record, metrics, exact) for record, _ in runs]


def _paired_rows(runs: list[tuple], reference: int, metrics: list[str], exact: bool) -> list[dict[str, str]]:
    differences = difference_columns(runs, reference, metrics)
    records = [record for record, _ in runs]
    return [_paired_row(record, metrics, found, exact) for record, found in zip(records, differences, strict=True)]


def _group_rows(runs: list[tuple], reference: int | None, by: str, metrics: list[str], exact: bool) -> list[dict]:
    """Return one row per group and run, the runs of a group one below another."""
    rows = []
    for group in group_users(runs, by, metrics, reference):
        beginning = {GROUPINGS[by].heading: group.name, "users": _number(group.users, ",", exact)}
        for (record, _), means, differences in zip(runs, group.means, group.differences, strict=True):
            row = beginning | {"model": _label(record), "seed": str(record["seed"])}
            for metric in metrics:
                row[f"test {metric}"] = _number(means.get(metric), ".4f", exact)
                row |= {} if reference is None else _difference_cells(metric, differences, exact)
            rows.append(row)
    return rows


def _with_reference(paths: list, reference) -> tuple[list, int | None]:
    """Return the paths with the reference among them, and its position; None without one."""
    if reference is None:
        return paths, None
    files = [record_file(path).resolve() for path in paths]
    wanted = record_file(reference).resolve()
    return (paths, files.index(wanted)) if wanted in files else ([reference, *paths], 0)


def _label(record: dict) -> str:
    label = record.get("label") or record["model"]
    return label if record["status"] == "completed" else f"{label} [{record['status']}]"


def _number(value, form: str, exact: bool) -> str:
    return "" if value is None else (repr(value) if exact else format(value, form))


def _row(record: dict, metrics: list[str], exact: bool) -> dict[str, str]:
    params = record["params"]
    row = {"model": _label(record), "seed": str(record["seed"])}
    row |= {name: _number(params.get(name), ",", exact) for name in ("total", "trainable")}
    for split in ("valid", "test"):
        row |= {f"{split} {metric}": _number(record[split].get(metric), ".4f", exact) for metric in metrics}
    row |= _best_epoch(record, exact)
    row["s/epoch"] = _number(record["seconds"].get("per_epoch"), ".1f", exact)
    row["peak MB"] = _number(record.get("peak_memory_mb"), ".0f", exact)
    return row


def _best_epoch(record: dict, exact: bool) -> dict[str, str]:
    """Return the best epoch, and whether the limit of epochs ended the training, which more epochs might improve."""
    best, limit = record.get("best_epoch"), record.get("epochs_run") if record.get("hit_epoch_limit") else None
    if exact:
        return {"best epoch": _number(best, "", exact), "epoch limit hit": _number(limit, "", exact)}
    return {"best epoch": _number(best, "", exact) + (f" of {limit}" if limit is not None else "")}


def _paired_row(record: dict, metrics: list[str], differences: dict, exact: bool) -> dict[str, str]:
    row = {"model": _label(record), "seed": str(record["seed"])}
    for metric in metrics:
        row[f"test {metric}"] = _number(record["test"].get(metric), ".4f", exact)
        row |= _difference_cells(metric, differences, exact)
    return row | _best_epoch(record, exact)


def _difference_cells(metric: str, differences: dict, exact: bool) -> dict[str, str]:
    """Return a metric's difference with its interval and p-value; blanks where there is none."""
    values = asdict(differences[metric]) if metric in differences else {}
    ends = {"difference": "mean", "from": "low", "to": "high"}
    cells = {f"{metric} {name}": _number(values.get(value), "+.4f", exact) for name, value in ends.items()}
    return cells | {f"{metric} p": _number(values.get("p_value"), ".2g", exact)}


def _with_published(rows: list[dict[str, str]], runs: list[tuple], metrics: list[str]) -> list[dict[str, str]]:
    columns = [_published(record, metrics) for record, _ in runs]
    return [{**row, **more} for row, more in zip(rows, columns, strict=True)]


def _published(record: dict, metrics) -> dict[str, str]:
    """Return the columns with the paper's figures, blank where it has none."""
    published = published_of(record)
    values = published.figures if published else {}
    return {f"published {metric}": format(values[metric], ".4f") if metric in values else "" for metric in metrics}
