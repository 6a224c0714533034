"""Seconds and peak memory of the tables of evidence for a large generated catalogue.

    python benchmarks/evidence_tables.py [--items=1000000] [--interactions=10000000] [--kinds=covisit,two_hop,words]
                                         [--texts=100000] [--output=FILE]

Histories have about ten items of a long-tailed popularity. Each kind is counted once, as for evaluation, in a process
of its own; joint training counts ``covisit`` and ``two_hop`` once more for each of its folds. Titles have twelve words
of a vocabulary that is long-tailed too; ``texts`` of them are compared, because that grows with the square of their
number: every common word joins all items that have it.
"""

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from recbole_mpo.common.process import prepare_process

prepare_process()

from common import CPU, SETTINGS, main, seconds  # noqa: E402 - the process is prepared first
from interactions import write_interactions  # noqa: E402

from recbole_mpo.common.machine import peak_memory_mb  # noqa: E402
from recbole_mpo.common.values import as_list  # noqa: E402
from recbole_mpo.data.pair_tables import largest_entries, two_steps  # noqa: E402
from recbole_mpo.data.shared_words import share_words  # noqa: E402
from recbole_mpo.data.training_counts import training_pairs  # noqa: E402
from recbole_mpo.quick_start.experiment import Experiment  # noqa: E402

# The defaults of the settings evidence_window and evidence_entries.
WINDOW, ENTRIES = 4, 100
KINDS = ("covisit", "two_hop", "words")
WORDS_PER_TITLE, WORDS_PER_ITEM = 12, 0.2


def titles(count: int, seed: int = 0) -> list[str]:
    """Return generated titles; a word's frequency falls with its rank, as in natural language."""
    draw, vocabulary = np.random.default_rng(seed), int(1000 + WORDS_PER_ITEM * count)
    shares = np.cumsum(1 / (np.arange(vocabulary) + 20.0))
    ranks = np.searchsorted(shares, draw.random((count, WORDS_PER_TITLE)) * shares[-1])
    return [" ".join(f"w{rank}" for rank in row) for row in ranks.tolist()]


def run_kind(kind: str, name: str, data_path: str, texts: int) -> dict:
    """One table; in this process."""
    if kind == "words":
        written = ["", *titles(texts)]  # PAD has no text
        before, tables = peak_memory_mb(CPU), []
        taken = seconds(lambda: tables.append(share_words(written, ENTRIES).table))
    else:
        settings = {**SETTINGS, "data_path": data_path, "item_input": "id"}
        train = Experiment.of("SASRecCE", name, (), settings).data.splits[0]
        before, tables = peak_memory_mb(CPU), []
        make = two_steps if kind == "two_hop" else largest_entries
        taken = seconds(
            lambda: tables.append(make(training_pairs(train, WINDOW).neighbours(train.num(train.iid_field)), ENTRIES))
        )
    size = {"rows": tables[0].shape[0], "entries": int(tables[0].nnz)}
    return {"seconds": taken, "peak_mb": peak_memory_mb(CPU), "peak_mb_before": before, **size}


def measure(
    items: int = 1_000_000,
    interactions: int = 10_000_000,
    kinds: str | list = KINDS,
    texts: int = 100_000,
) -> dict:
    """Every kind in a fresh process."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        name = f"items-{items}"
        write_interactions(Path(folder), name, interactions, items)
        for kind in as_list(kinds):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                results[kind] = pool.submit(run_kind, kind, name, folder, texts).result()
            print(f"{kind:<8} {results[kind]['seconds']:8.1f} s  peak {results[kind]['peak_mb']:,.0f} MB", flush=True)
    return {"items": items, "interactions": interactions, "texts": texts, **results}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
