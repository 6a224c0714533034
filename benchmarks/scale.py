"""Seconds and peak memory of preparing a hundred million generated interactions with DuckDB.

    python benchmarks/scale.py [--interactions=100000000] [--items=1000000] [--users=10000000] [--small=5000000]
                               [--memory_limit=8GB] [--threads=2] [--k_core=5] [--folder=DIR] [--output=FILE]

The interactions are written as a folder of Parquet files of a million rows, in no order: item popularity is long-tailed
(Zipf), the lengths of histories are geometric, one row of a hundred is repeated. `recbole-mpo prepare` reads them in a
process of its own, whose peak is given, and writes sharded Parquet. The same at ``small`` interactions is done by both
engines, whose hashes must be equal; ``--small=0`` leaves it out. It needs 8 GB of disk in ``folder``, where raw files
that are there are used again.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import main

BLOCK = 1_000_000
FIRST_TIME, SPAN = 1_400_000_000, 200_000_000
REPEATED_SHARE = 100
CODE = "import sys; from recbole_mpo.cli.main import main; sys.exit(main(sys.argv[1:]))"


def write_rows(folder: Path, interactions: int, items: int, users: int):
    """Write a folder of Parquet files; the same arguments give the same rows."""
    draw = np.random.default_rng(0)
    # A user whose rate is exponential has a number of rows that is geometric.
    activity = np.cumsum(draw.exponential(size=users))
    popularity, catalogue = np.cumsum(1 / np.arange(1, items + 1)), draw.permutation(items)
    folder.mkdir(parents=True)
    for part, begin in enumerate(range(0, interactions, BLOCK)):
        draw, count = np.random.default_rng([1, part]), min(BLOCK, interactions - begin)
        user = np.searchsorted(activity, draw.random(count) * activity[-1])
        item = catalogue[np.searchsorted(popularity, draw.random(count) * popularity[-1])]
        moment = FIRST_TIME + draw.integers(SPAN, size=count)
        repeated = draw.integers(count, size=(2, count // REPEATED_SHARE))
        for column in (user, item, moment):
            column[repeated[0]] = column[repeated[1]]
        table = pa.table({"user": _names("U", user), "item": _names("I", item), "time": moment})
        pq.write_table(table, folder / f"part-{part:05}.parquet")
    (folder / "_SUCCESS").touch()


def _names(prefix: str, numbers: np.ndarray) -> pa.Array:
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), 10, padding="0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, pa.scalar(""))


def prepare(raw: Path, folder: Path, k_core: int, *options: str) -> dict:
    """Prepare a dataset in a process of its own; return what it took and what is in its manifest."""
    arguments = ["prepare", "scale", f"--interactions={raw}", "--user=user", "--item=item", "--time=time"]
    arguments += [f"--data_path={folder}", f"--k_core={k_core}", "--output_format=parquet", "--overwrite=true"]
    begin = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", CODE, *arguments, *options])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"prepare ended with {child.returncode}")
    manifest = json.loads((folder / "scale" / "scale.shards" / "manifest.json").read_text(encoding="utf-8"))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gigabytes": usage.ru_maxrss * unit / 1e9,
        **{key: manifest[key] for key in ("users", "items", "interactions", "rows_hash")},
    }


def raw_rows(folder: Path, interactions: int, items: int, users: int) -> Path:
    """Return the folder of raw files, which are written unless they are there."""
    raw = folder / f"raw-{interactions}-{items}-{users}"
    if not (raw / "_SUCCESS").exists():
        begin = time.perf_counter()
        write_rows(raw, interactions, items, users)
        print(f"wrote {interactions:,} interactions in {time.perf_counter() - begin:.0f} s", flush=True)
    return raw


def measure(
    interactions: int = 100_000_000,
    items: int = 1_000_000,
    users: int = 10_000_000,
    small: int = 5_000_000,
    memory_limit: str = "8GB",
    threads: int = 2,
    k_core: int = 5,
    folder: str | None = None,
) -> dict:
    """Prepare the large table, and the small one with both engines."""
    duckdb = ("--engine=duckdb", f"--memory_limit={memory_limit}", f"--threads={threads}")
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary)
        if small:
            share = small / interactions
            raw = raw_rows(place, small, max(1, int(items * share)), max(1, int(users * share)))
            results["small_memory"] = prepare(raw, place / "memory", k_core)
            results["small_duckdb"] = prepare(raw, place / "duckdb", k_core, *duckdb)
            hashes = {results[key]["rows_hash"] for key in ("small_memory", "small_duckdb")}
            if len(hashes) > 1:
                raise SystemExit(f"the engines disagree: {results}")
        raw = raw_rows(place, interactions, items, users)
        results["large"] = prepare(raw, place / "large", k_core, *duckdb)
    return {"rows": interactions, "small_rows": small, "memory_limit": memory_limit, "threads": threads, **results}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
