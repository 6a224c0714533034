"""Memory and seconds of loading a sharded dataset and of the first steps of training on it.

    python benchmarks/scale_training.py [--interactions=1000000] [--users=100000] [--items=100000] [--dimension=64]
        [--half=false] [--parts=16] [--hidden=64] [--sampled_items=8192] [--steps=3] [--folder=DIR] [--output=FILE]

Writes the dataset (into a temporary folder, or into ``folder``, where it is used again) and loads it twice, each time
in a process of its own: the first writes the cache, the second finds it. ``anonymous`` is memory that the process
itself fills, ``mapped`` are pages of files that the system holds for it and lets go of when it must; ``peak`` is the
largest sum of both. ``model`` are weights, gradients and Adam's averages. Feature files below 2 GB are held in memory;
``--mapped=true`` maps smaller ones too, to try that. Model: UniSRec, 8 experts, ``loss: sampled``.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

from common import CPU, Built, Stepper, main, median  # noqa: E402 - the process is prepared first
from shard_writing import write_features, write_shards, write_texts  # noqa: E402

from recbole_mpo.common.machine import peak_memory_mb  # noqa: E402
from recbole_mpo.text import mapped_features  # noqa: E402


def memory() -> dict:
    """Return the gigabytes of this process at this time, as far as the system tells (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    kinds = {"anonymous": "RssAnon", "mapped": "RssFile"}
    return {kind: int(values[name].split()[0]) / 1024**2 for kind, name in kinds.items()}


def train(name: str, settings: dict, steps: int, mapped: bool) -> dict:
    """Load the dataset, build the model and take the first steps, in this process."""
    if mapped:
        mapped_features.LARGE_BYTES = 1
    stages, begin = {"imported": memory()}, time.perf_counter()
    built = Built("UniSRec", name, {"loss": "sampled", **settings})
    loaded, loader, stepper = time.perf_counter() - begin, built.data.loaders[0], Stepper(built)
    stages["loaded"] = memory()
    begin = time.perf_counter()
    loader.set_epoch(0)
    ordered, batches, taken = time.perf_counter() - begin, iter(loader), []
    for number in range(steps):
        batch = next(batches)
        begin = time.perf_counter()
        stepper.step(batch)
        taken.append(time.perf_counter() - begin)
        if number == 0:
            stages["first_step"] = memory()
    weights = sum(one.numel() * one.element_size() for one in built.model.parameters())
    return {
        "seconds_loading": loaded,
        "seconds_ordering_an_epoch": ordered,
        "seconds_per_step": median(taken[1:] or taken),
        "targets_per_step": len(batch),
        "steps_per_epoch": len(loader),
        "gigabytes": {**stages, "model": 4 * weights / 1024**3, "peak": peak_memory_mb(CPU) / 1024},
    }


def measure(
    interactions: int = 1_000_000,
    users: int = 100_000,
    items: int = 100_000,
    dimension: int = 64,
    half: bool = False,
    parts: int = 16,
    hidden: int = 64,
    steps: int = 3,
    mapped: bool = False,
    folder: str | None = None,
    **settings,
) -> dict:
    """Both loads, each in a fresh process."""
    with tempfile.TemporaryDirectory() as temporary:
        data_path, name = Path(folder or temporary), f"shards-{interactions}-{users}-{items}-{parts}"
        own = data_path / name
        if not (own / f"{name}.shards" / "manifest.json").is_file():
            write_shards(data_path, name, interactions, users, items, parts)
            write_texts(own / f"{name}.text", items)
        features = own / f"{dimension}-{'half' if half else 'single'}.npy"
        if not features.is_file():
            write_features(features, items, dimension, "float16" if half else "float32")
        cache = {"cache_dir": str(Path(temporary) / "cache")}
        sizes = {"hidden_size": hidden, "inner_size": hidden}
        settings = {"data_path": str(data_path), "feature_file": features.name, **cache, **sizes, **settings}
        results = {"interactions": interactions, "users": users, "items": items, "dimension": dimension}
        for load in ("first_load", "second_load"):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                results[load] = pool.submit(train, name, settings, steps, mapped).result()
        files = Path(cache["cache_dir"]).glob("**/*.*")
        results["gigabytes_of_cache"] = sum(path.stat().st_size for path in files) / 1024**3
    return results


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
