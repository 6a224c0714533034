"""Seconds and peak memory with a million items of 768 features: a training step by each loss, and an evaluation.

    python benchmarks/million_items.py [--items=1000000] [--dimension=768] [--users=10000] [--folder=DIR]
                                       [--output=FILE]

Writes a synthetic dataset (into a temporary folder, or into ``folder``, where it is used again) and runs each task in
a process of its own, whose peak includes loading the data and features. Model: MPORec, hidden 300, 8 experts.
"""

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

from common import CPU, Built, Stepper, main, seconds  # noqa: E402 - the process is prepared first
from interactions import write_features, write_interactions, write_texts  # noqa: E402

from recbole_mpo.common.machine import peak_memory_mb  # noqa: E402

TASKS = ("chunked", "sampled", "evaluate")


def run_task(task: str, name: str, settings: dict, users: int) -> dict:
    """One training step with the loss ``task``, or ranks of ``users`` users; in this process."""
    built = Built("MPORec", name, {**settings, "loss": "sampled" if task == "evaluate" else task})
    loaded = peak_memory_mb(CPU)
    if task == "evaluate":
        with tempfile.TemporaryDirectory() as folder:
            trainer, loader = built.trainer(folder), built.data.loaders[2]
            batches = list(islice(loader, -(-users // loader.step)))
            taken = seconds(lambda: trainer.target_ranks(batches))
        size = {"users": sum(len(batch[0]) for batch in batches)}
    else:
        stepper, batch = Stepper(built), next(iter(built.data.loaders[0]))
        taken = seconds(lambda: stepper.step(batch))
        size = {"targets": len(batch)}
    return {"seconds": taken, "peak_mb": peak_memory_mb(CPU), "peak_mb_after_loading": loaded, **size}


def measure(
    items: int = 1_000_000, dimension: int = 768, users: int = 10_000, folder: str | None = None, **settings
) -> dict:
    """Every task in a fresh process."""
    with tempfile.TemporaryDirectory() as temporary:
        data_path, name = folder or temporary, f"items-{items}-{dimension}"
        if not (Path(data_path) / name / f"{name}.npy").is_file():
            write_interactions(data_path, name, 2 * items, items)
            write_texts(data_path, name, items)
            write_features(data_path, name, items, dimension)
        settings = {"data_path": str(data_path), "feature_file": f"{name}.npy", **settings}
        results = {}
        for task in TASKS:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                results[task] = pool.submit(run_task, task, name, settings, users).result()
            print(f"{task:<10} {results[task]['seconds']:8.1f} s  peak {results[task]['peak_mb']:,.0f} MB", flush=True)
    return {"items": items, "dimension": dimension, **results}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
