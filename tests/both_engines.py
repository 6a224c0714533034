"""What tests of the large path share: a dataset made by both engines, which must be equal byte for byte."""

import json
from dataclasses import replace

import numpy as np

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.data.prepare.engine import Engine
from recbole_mpo.data.prepare.own_tables import OwnTables
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset
from recbole_mpo.data.prepare.prepared import Form
from recbole_mpo.data.prepare.raw_rows import Columns
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.rows_hash import hash_of_inter
from recbole_mpo.data.prepare.table_files import Table

DUCKDB = Engine("duckdb", "500MB", threads=1)
KEEP_ALL = Recipe(0, 1)
PARQUET = Form(output_format="parquet", parts=3)
COLUMNS = Columns("user", "item", "time")
# Texts of items that are read in unusual ways.
TEXTS = ["Cup", "", "Lamp &amp; co", ".", "x" * 3000, "Löwe\tbox", "half \ud83d", None, "--"]


def made(name, request, capsys):
    """What a preparation writes and prints: its files but for the card's hashes, or its one line of error."""
    try:
        folder = prepare_dataset(name, request)
    except RecboleMPOError as problem:
        capsys.readouterr()
        return type(problem), str(problem)
    card = (folder / "README.md").read_text().split("| file | bytes |")[0]
    texts = folder / f"{folder.name}.text"
    files = {"text": texts.read_bytes() if texts.exists() else None, "card": card, "printed": capsys.readouterr().out}
    shards = folder / f"{folder.name}.shards"
    if shards.exists():
        manifest = json.loads((shards / "manifest.json").read_text())
        parts = [(shards / part["file"]).read_bytes() for part in manifest["parts"]]
        return {**files, "manifest": manifest, "parts": parts, "items": (shards / "items.parquet").read_bytes()}
    inter = folder / f"{folder.name}.inter"
    return {**files, "inter": inter.read_bytes(), "hash": hash_of_inter(inter)}


def compare(name, request, capsys):
    """Prepare with both engines in both formats, check that nothing differs, and return what is in ``.inter``."""
    results = {}
    for form in (Form(), PARQUET):
        for engine in (Engine(), DUCKDB):
            path = request.data_path / f"{form.output_format}-{engine.name}"
            results[form, engine] = made(name, replace(request, data_path=path, form=form, engine=engine), capsys)
            assert not list(path.glob(".*")), "the scratch folder is gone"
        large, small = results[form, DUCKDB], results[form, Engine()]
        if isinstance(small, dict) and isinstance(large, dict):
            assert {key: value for key, value in large.items() if small[key] != value} == {}
        assert large == small
    small, parts = results[Form(), Engine()], results[PARQUET, DUCKDB]
    if isinstance(small, tuple):
        return small
    assert parts["manifest"]["rows_hash"] == small["hash"]
    assert parts["manifest"]["interactions"] == small["inter"].count(b"\n") - 1
    return small["inter"].decode()


def request_of(tmp_path, recipe=KEEP_ALL, columns=COLUMNS, items=None, fields=(), table=None):
    own = OwnTables(table or Table(tmp_path / "rows.csv"), columns, items, None, fields)
    return Request(tmp_path / "data", recipe, own=own, show_progress=False)


def write_csv(tmp_path, *rows, header="user,item,time"):
    (tmp_path / "rows.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def random_rows(rows=600, users=40, items=25, times=30, seed=0):
    draw = np.random.default_rng(seed)
    popular = np.minimum(draw.geometric(0.08, rows), items) - 1
    return [
        f"u{user},{item:03},{moment}"
        for user, item, moment in zip(
            draw.integers(users, size=rows), popular, draw.integers(times, size=rows), strict=True
        )
    ]


def parquet_file(path, **columns):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path
