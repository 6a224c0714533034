"""Seconds of a training epoch as interactions grow, over one catalogue.

    python benchmarks/epoch_time.py [--items=2000] [--train_batch_size=512] [--output=FILE] [--key=value ...]

Whole epochs of the trainer, batches packed as they are needed. Steps are small here, so that the smallest data set has
enough of them for its last one, which is not full, to count little.
"""

import sys
import tempfile

from recbole_mpo.process import prepare_process

prepare_process()

from common import build, main, median, seconds  # noqa: E402 - the process is prepared first
from interactions import write_interactions, write_texts  # noqa: E402

# Interactions, and how many epochs are timed after a first one that is not.
SIZES = {"1e4": (10_000, 7), "1e5": (100_000, 3), "1e6": (1_000_000, 1)}


def epochs(name: str, repeats: int, settings: dict) -> dict:
    """Seconds of each of ``repeats`` epochs; an epoch, or a hundred steps of it, comes first and is not counted."""
    experiment = build("MPORec", name, settings)
    loader = experiment.loaders[0]
    with tempfile.TemporaryDirectory() as folder:
        trainer = experiment.trainer(folder)
        warm = [batch for batch, _ in zip(loader, range(100), strict=False)]
        trainer._train_epoch(warm, 0)
        samples = [seconds(lambda epoch=epoch: trainer._train_epoch(loader, epoch)) for epoch in range(repeats)]
    return {"seconds": samples, "steps": len(loader), "targets": len(experiment.splits[0])}


def measure(items: int = 2000, train_batch_size: int = 512, **settings) -> dict:
    """Seconds per epoch at each size, and per million targets."""
    samples = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, (interactions, repeats) in SIZES.items():
            write_interactions(folder, label, interactions, items)
            write_texts(folder, label, items)
            own = {"data_path": folder, "cache_dir": folder, "checkpoint_dir": folder}
            samples[label] = epochs(label, repeats, {**own, "train_batch_size": train_batch_size, **settings})
            print(f"{label}: {median(samples[label]['seconds']):8.2f} s an epoch", flush=True)
    per_million = {name: 1e6 * median(s["seconds"]) / s["targets"] for name, s in samples.items()}
    return {
        "seconds_per_epoch": {name: median(sample["seconds"]) for name, sample in samples.items()},
        "seconds_per_million_targets": per_million,
        "largest_over_smallest": max(per_million.values()) / min(per_million.values()),
        "samples": samples,
    }


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
