"""Seconds and memory from an interaction file to the first batch of training.

    python benchmarks/loading.py [--interactions=10000000] [--items=100000] [--folder=DIR] [--output=FILE]

Writes a synthetic dataset (into a temporary folder, or into ``folder``, where it is used again) and loads it in a
process of its own. Memory is that process's peak, PyTorch included; of its seconds, those that it computed and those
that passed are given, which differ where others share the processor.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

from common import CPU, main  # noqa: E402 - the process is prepared first
from interactions import write_interactions  # noqa: E402

from recbole_mpo.common.machine import peak_memory_mb  # noqa: E402
from recbole_mpo.quick_start.experiment import Experiment  # noqa: E402


def load(data_path: str, name: str) -> dict:
    """Load a dataset up to its first training batch, in this process."""
    settings = {"data_path": data_path, "item_input": "id", "use_gpu": False, "show_progress": False}
    imported, begin, computed = peak_memory_mb(CPU), time.perf_counter(), time.process_time()
    experiment = Experiment.of("UniSRec", name, (), settings)
    next(iter(experiment.data.loaders[0]))
    return {
        "seconds": time.perf_counter() - begin,
        "processor_seconds": time.process_time() - computed,
        "peak_gigabytes": peak_memory_mb(CPU) / 1024,
        "peak_gigabytes_before_loading": imported / 1024,
        "users": experiment.data.dataset.user_num - 1,
        "items": experiment.data.dataset.item_num - 1,
        "targets": [len(split) for split in experiment.data.splits],
    }


def measure(interactions: int = 10_000_000, items: int = 100_000, folder: str | None = None) -> dict:
    """Write a dataset of this size, unless ``folder`` holds it, and loads it in a fresh process."""
    with tempfile.TemporaryDirectory() as temporary:
        data_path, name = folder or temporary, f"synthetic-{interactions}-{items}"
        if not (Path(data_path) / name / f"{name}.inter").is_file():
            write_interactions(data_path, name, interactions, items)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return {"interactions": interactions, **pool.submit(load, str(data_path), name).result()}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
