"""The report of compressed variants: JSON, Markdown, CSV, a page, and plots of quality against cost."""

import csv
import io
import json
from pathlib import Path

from recbole_mpo.common.files import replacing, write_lines
from recbole_mpo.common.page import write_page
from recbole_mpo.common.spreadsheet import safe_cell
from recbole_mpo.release.compress.pareto import draw_pareto

REPORT = "report.json"
# By this a report of this command is known.
WRITTEN_BY = "recbole-mpo compress"
BYTES = {
    "checkpoint": "training checkpoint",
    "serving_features": "serving, features and adaptor",
    "serving_items": "serving, stored item vectors",
    "items": "item vectors alone",
}
SPLIT, METRIC = "test", "ndcg@10"
_INTRO = (
    "Bytes are those of the files, without the items' names. Differences are to the uncompressed model, with 95% "
    "bootstrap intervals over users. Milliseconds are the median time of a processor for ranking all items, for 1 and "
    "for 256 histories, by stored item vectors with one thread; report.csv has latencies too."
)


def is_own_report(folder: Path) -> bool:
    """Return whether a folder has a report of this command."""
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8")).get("written_by") == WRITTEN_BY
    except (OSError, ValueError, AttributeError):
        return False


def write_report(folder: Path, rows: list[dict], header: dict):
    """Write the report of some variants into a folder, in all its forms.

    Args:
        folder: the folder.
        rows: the variants, the uncompressed model first; without any only ``report.json`` is written, as a mark.
        header: what the rows share.
    """
    write_lines(folder / REPORT, _a_line_each({"written_by": WRITTEN_BY, **header}, rows))
    if not rows:
        return
    text = markdown(rows, header)
    with replacing(folder / "report.csv") as file:
        file.write(as_csv(rows).encode())
    picture = draw_pareto(rows)
    write_lines(folder / "report.md", text.splitlines())
    write_lines(folder / "report.svg", picture.splitlines())
    head, body = table(rows)
    template = (
        "<p>{{ intro }}</p>{{ picture | safe }}<table><tr>{% for cell in head %}<th>{{ cell }}</th>{% endfor %}</tr>"
        "{% for row in lines %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table>"
    )
    write_page(folder / "report.html", title(header), template, intro=_INTRO, picture=picture, head=head, lines=body)


def _a_line_each(header: dict, rows: list[dict]) -> list[str]:
    """Return the lines of a JSON object: one per value of the header, one per row."""
    values = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in header.items()]
    return ["{", *values, '"rows": [', *",\n".join(map(json.dumps, rows)).splitlines(), "]}"]


def title(header: dict) -> str:
    """Return the report's title."""
    source = header["checkpoint"]
    return f"Compressed {source['model']} on {source['dataset']}"


def label(row: dict) -> str:
    """Return the name of a variant in tables, with the share of bytes that chose its strength."""
    epochs, ratio = row["finetune_epochs"], row.get("ratio")
    name = row["name"] + (f" (to {ratio:g})" if ratio is not None else "")
    return f"{name}, trained {epochs} epoch{'s' if epochs > 1 else ''}" if epochs else name


def table(rows: list[dict], whole: dict | None = None) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table that people read.

    Args:
        rows: the variants.
        whole: row of the uncompressed model, of whose sizes shares are shown; by default it is among the rows.
    """
    split = SPLIT if SPLIT in rows[0] else "valid"
    base = (whole or next(row for row in rows if row["name"] == "uncompressed"))["bytes"]
    head = ["variant", "checkpoint", "serving, features", "serving, stored items", "parameters not zero"]
    head += ["ms (1)", "ms (256)", "NDCG@10 valid", f"NDCG@10 {split}", "difference", "same top 10"]
    body = []
    for row in rows:
        times = row.get("latency_ms")
        sizes = [_size(row["bytes"][kind], base[kind]) for kind in list(BYTES)[:3]]
        latency = [f"{times[f'batch_{size}']['busy_p50']:.1f}" if times else "" for size in (1, 256)]
        difference = row["difference"][split][METRIC]
        quality = [f"{row[part][METRIC]:.4f}" if part in row else "" for part in ("valid", split)]
        between = f"{difference['mean']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
        overlap = f"{row['scores']['top10_overlap']:.1%}"
        body.append([label(row), *sizes, f"{row['params']['nonzero']:,}", *latency, *quality, between, overlap])
    return head, body


def _size(count: int, base: int) -> str:
    return f"{count / 1e6:.2f} MB ({count / base:.2f})"


def markdown(rows: list[dict], header: dict) -> str:
    """Return the report as Markdown."""
    return f"# {title(header)}\n\n{_INTRO}\n\n![quality against cost](report.svg)\n\n{markdown_table(rows)}"


def markdown_table(rows: list[dict], whole: dict | None = None) -> str:
    """Return the table that people read as Markdown; the arguments are those of :func:`table`."""
    head, body = table(rows, whole)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in body)]) + "\n"


def as_csv(rows: list[dict]) -> str:
    """Return the figures of all variants as CSV, unrounded."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in flat:
        writer.writerow([safe_cell(str(row.get(name, ""))) for name in names])
    return text.getvalue()


def _flat(row: dict) -> dict:
    flat = {"name": row["name"], "finetune_epochs": row["finetune_epochs"]}
    for key in ("seconds", "bytes", "params", "latency_ms", "valid", "test", "difference", "scores"):
        _flatten(key, {k: v for k, v in row.get(key, {}).items() if k != "files"}, flat)
    errors = row["layer_errors"].values()
    return {**flat, "load_seconds": row.get("load_seconds", ""), "largest_layer_error": max(errors, default="")}


def _flatten(prefix: str, content: dict, flat: dict):
    for key, value in content.items():
        if isinstance(value, dict):
            _flatten(f"{prefix}.{key}", value, flat)
        else:
            flat[f"{prefix}.{key}"] = value
