"""Seconds and memory of preparing an Amazon category of five million generated reviews, in either release's raw form.

    python benchmarks/preparing.py [--reviews=5000000] [--items=300000] [--folder=DIR] [--output=FILE]

Writes reviews with a few exact repetitions, and metadata with titles, categories, brands and long descriptions, then
prepares each release in a process of its own, whose peak is given. Text encoding is not part of it.
"""

import gzip
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared first
from common import CPU, main  # noqa: E402
from interactions import WORDS  # noqa: E402

from recbole_mpo.common.machine import peak_memory_mb  # noqa: E402
from recbole_mpo.data.prepare.amazon import file_names  # noqa: E402
from recbole_mpo.data.prepare.prepare import Request, prepare_dataset  # noqa: E402
from recbole_mpo.data.prepare.sources import find_source  # noqa: E402

NAMES = ("Games", "Games-2023")
BLOCK = 200_000
USER_SHARE = 10


def write_raw(folder: Path, name: str, reviews: int, items: int):
    """Return the raw files of one release; the same arguments give the same content."""
    source, draw = find_source(name), np.random.default_rng(0)
    review_file, metadata_file = (folder / Path(file).name for file in file_names(source))
    folder.mkdir(parents=True, exist_ok=True)
    popularity = np.cumsum(1 / np.arange(1, items + 1) ** 0.8)
    as_line = _rating if source.kind == "amazon-2018" else _review
    with (open if review_file.suffix == ".csv" else _gzip)(review_file, "wt") as file:
        for begin in range(0, reviews, BLOCK):
            count = min(BLOCK, reviews - begin)
            users = draw.integers(reviews // USER_SHARE, size=count)
            ranks = np.searchsorted(popularity, draw.random(count) * popularity[-1])
            columns = users, ranks, draw.integers(1, 6, count), draw.integers(1_300_000_000, 1_500_000_000, count)
            lines = [as_line(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
            file.writelines([*lines, *lines[: count // 100]])
    with _gzip(metadata_file, "wt") as file:
        for item, words in enumerate(draw.choice(WORDS, (items, 12)).tolist()):
            file.write(json.dumps(_metadata(source, item, words)) + "\n")


def _gzip(path: Path, mode: str):
    # What is measured is reading.
    return gzip.open(path, mode, compresslevel=1)


def _rating(user: int, item: int, rating: int, moment: int) -> str:
    return f"B{item:09},A{user:012},{rating}.0,{moment}\n"


def _review(user: int, item: int, rating: int, moment: int) -> str:
    record = {
        "rating": float(rating),
        "title": "Five stars",
        "text": "It does what it says. " * 8,
        "images": [],
        "asin": f"B{item:09}",
        "parent_asin": f"B{item:09}",
        "user_id": f"A{user:027}",
        "timestamp": moment * 1000 + user % 1000,
        "verified_purchase": True,
    }
    return json.dumps(record) + "\n"


def _metadata(source, item: int, words: list[str]) -> dict:
    title, category, brand = source.entry["text_fields"]
    return {
        source.entry["item_field"]: f"B{item:09}",
        title: " ".join(words[:8]),
        category: ["Games", *words[8:10]],
        brand: words[10],
        "description": [" ".join(words * 10)],
    }


def run(folder: str, name: str) -> dict:
    """Prepares one release in this process."""
    imported, begin = peak_memory_mb(CPU), time.perf_counter()
    request = Request(Path(folder), raw=Path(folder) / "raw" / name, overwrite=True, show_progress=False)
    prepare_dataset(name, request)
    return {
        "seconds": time.perf_counter() - begin,
        "peak_gigabytes": peak_memory_mb(CPU) / 1024,
        "peak_gigabytes_before": imported / 1024,
    }


def measure(reviews: int = 5_000_000, items: int = 300_000, folder: str | None = None) -> dict:
    """Both releases."""
    with tempfile.TemporaryDirectory() as temporary:
        found = {}
        for name in NAMES:
            raw = Path(folder or temporary) / "raw" / name
            if not raw.is_dir():
                write_raw(raw, name, reviews, items)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found[name] = pool.submit(run, str(folder or temporary), name).result()
    return {"reviews": reviews, "items": items, **found}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
