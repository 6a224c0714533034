"""Seconds of a training epoch as interactions grow, over one catalogue.

    python benchmarks/epoch_time.py [--items=500] [--train_batch_size=512] [--output=FILE] [--key=value ...]

Whole epochs of the trainer, batches packed as they are needed; the sizes take turns. Steps are small here, so that the
smallest dataset has enough of them for its last one, which is not full, to count little.
"""

import sys
import tempfile
from itertools import islice

from recbole_mpo.common.process import prepare_process

prepare_process()

from common import Built, main, median, seconds  # noqa: E402 - the process is prepared first
from interactions import write_interactions, write_texts  # noqa: E402

SIZES = {"1e4": 10_000, "1e5": 100_000, "1e6": 1_000_000}
TURNS = (*[("1e4", 5), ("1e5", 1)] * 2, ("1e6", 1), *[("1e4", 5), ("1e5", 1)] * 2)


class Epochs:
    """Epochs of one dataset, timed one by one; the first, or a hundred steps of it, is run and not counted."""

    def __init__(self, name: str, settings: dict, folder: str):
        built = Built("MPORec", name, settings)
        self.loader, self.targets = built.data.loaders[0], len(built.data.splits[0])
        self.trainer = built.trainer(folder)
        self.seconds = []
        self.trainer._train_epoch(list(islice(self.loader, 100)), 0)

    def run(self):
        """One epoch more."""
        self.seconds.append(seconds(lambda: self.trainer._train_epoch(self.loader, len(self.seconds))))


def measure(items: int = 500, train_batch_size: int = 512, **settings) -> dict:
    """Seconds per epoch at each size, and per million targets."""
    with tempfile.TemporaryDirectory() as folder:
        own = {"data_path": folder, "cache_dir": folder, "checkpoint_dir": folder}
        timed = {}
        for name, interactions in SIZES.items():
            write_interactions(folder, name, interactions, items)
            write_texts(folder, name, items)
            timed[name] = Epochs(name, {**own, "train_batch_size": train_batch_size, **settings}, folder)
        for name, repeats in TURNS:
            for _ in range(repeats):
                timed[name].run()
            print(f"{name}: {median(timed[name].seconds):8.2f} s an epoch", flush=True)
    samples = {
        name: {"seconds": epochs.seconds, "steps": len(epochs.loader), "targets": epochs.targets}
        for name, epochs in timed.items()
    }
    per_million = {name: 1e6 * median(s["seconds"]) / s["targets"] for name, s in samples.items()}
    return {
        "seconds_per_epoch": {name: median(sample["seconds"]) for name, sample in samples.items()},
        "seconds_per_million_targets": per_million,
        "largest_over_smallest": max(per_million.values()) / min(per_million.values()),
        "samples": samples,
    }


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
