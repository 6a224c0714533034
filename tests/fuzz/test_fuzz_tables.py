"""1,500 damaged tables of a user's own: refused, or their rows counted by line."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from fuzz.damage import BYTES, TEXTS, damaged
from fuzz.trial import Attempt, try_cases

from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset
from recbole_mpo.data.prepare.raw_rows import Columns, read_interactions
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.table_files import Table
from recbole_mpo.text.item_text import read_dataset_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROWS = [(f"u{n % 7}", f"i{n % 5}", str(1_600_000_000 + 97 * n), str(n % 5 + 1)) for n in range(60)]
TITLES = [(f"i{n}", f"Lamp, no. {n}", f'A "red" lamp; {n} kg') for n in range(5)]
NAMES, ITEM_NAMES = ("user", "item", "time", "stars"), ("item", "title", "description")
TEXT_FORMS = ("csv", "tsv", "jsonl", "csv.gz", "jsonl.gz")


def separated(names, rows, separator: str) -> bytes:
    if separator == "\t":  # where quotes are plain characters
        return "".join("\t".join(row) + "\n" for row in (names, *rows)).encode()
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([names, *rows])
    return text.getvalue().encode()


def lines_of_json(names, rows) -> bytes:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()


def write_table(path: Path, names, rows):
    """Write a table in the form that its ending names."""
    form = path.name.partition(".")[2]
    if form == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)
    elif form == "xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        for row in (names, *rows):
            book.active.append(row)
        book.save(path)
    else:
        kind = form.partition(".")[0]
        data = lines_of_json(names, rows) if kind == "jsonl" else separated(names, rows, ",\t"[kind == "tsv"])
        path.write_bytes(gzip.compress(data, mtime=0) if form.endswith("gz") else data)


def rows_by_line(path: Path) -> int:
    """Return the number of a text table's lines that are not blank, without the header of a separated one."""
    lines = plain_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return sum(bool(line.strip()) for line in lines) - ("jsonl" not in path.name)


@pytest.mark.parametrize("form", [*TEXT_FORMS, "parquet", "xlsx"])
def test_interactions(tmp_path, record_property, form):
    """Read alone: with few rows lost by the recipe, their number says whether one was swallowed."""
    sound, path = tmp_path / f"sound.{form}", tmp_path / f"damaged.{form}"
    write_table(sound, NAMES, ROWS)
    columns = Columns("user", "item", "time", rating="stars")

    def attempt(draw):
        data = sound.read_bytes()
        is_packed = form.endswith(".gz") and draw.random() < 0.7
        data = gzip.decompress(data) if is_packed else data
        data, ways = damaged(data, draw, TEXTS if form in TEXT_FORMS and (is_packed or "gz" not in form) else BYTES)
        path.write_bytes(gzip.compress(data, mtime=0) if is_packed else data)
        least = draw.choice((None, 1, 3))
        return Attempt(f"{form} {ways}", (str(path),), lambda: read_interactions(Table(path), columns, least)[0], fault)

    def fault(interactions):
        read = interactions.steps[0].interactions
        if form not in TEXT_FORMS or read == rows_by_line(path):
            return None
        # A quoted cell may hold line ends; the reader counts these lines in a warning.
        return None if "csv" in form and b'"' in plain_bytes(path) and read < rows_by_line(path) else f"{read} rows"

    try_cases(record_property, f"tables, {form}", 150, attempt)


def plain_bytes(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_what_is_prepared_can_be_read_and_what_is_refused_leaves_nothing(tmp_path, record_property, form):
    tables = {"interactions": (NAMES, ROWS), "items": (ITEM_NAMES, TITLES)}
    sound = {name: tmp_path / f"sound-{name}.{form}" for name in tables}
    for name, table in tables.items():
        write_table(sound[name], *table)
    data_path = tmp_path / "dataset"

    def attempt(draw):
        paths = {name: tmp_path / f"{name}.{form}" for name in tables}
        which, ways = draw.choice(sorted(tables)), ""
        for name, path in paths.items():
            data = sound[name].read_bytes()
            if name == which:
                data, ways = damaged(data, draw, BYTES if form == "xlsx" else TEXTS)
            path.write_bytes(data)
        own = OwnTables(
            Table(paths["interactions"]),
            Columns("user", "item", draw.choice(("time", "time", None))),
            Table(paths["items"]),
            text_fields=("title", "description"),
        )
        request = Request(data_path, Recipe(k_core=0, min_length=1), own=own, overwrite=True, show_progress=False)
        return Attempt(f"{which} {ways}", tuple(map(str, paths.values())), lambda: prepare(request), fault)

    def prepare(request):
        return prepare_dataset("shop", request), read_dataset_histories(data_path, "shop")

    def fault(result):
        folder, histories = result
        texts = read_dataset_text(folder / "shop.text")
        if {path.name for path in data_path.iterdir()} != {"shop"}:
            return f"leftovers {list(data_path.iterdir())}"
        return None if set(histories.item_tokens) <= set(texts.tokens) else "items without a line in .text"

    try_cases(record_property, f"tables, prepared from {form}", 150, attempt)
