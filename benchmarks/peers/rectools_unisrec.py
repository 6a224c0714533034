"""Training targets per second of RecTools' UniSRec (rectools.fast_transformers), on this package's data.

    PEER_PYTHON rectools_unisrec.py --histories=FILE.npz --features=FILE.npy --output=FILE.json
                                    [--batch_targets=2048] [--steps=5] [--threads=2] [--seed=2020]

Runs in the peer's own environment (README.md); export.py writes the two inputs.

The same on both sides: training targets, frozen item features, hidden size 300, 2 blocks, 2 heads, the newest 50
items, softmax over all items, Adam without weight decay, float32, about ``batch_targets`` targets a step, thread
count, PyTorch's version and the settings of the process. A step is timed as train_step.py times it: gradients
cleared, forward, loss, backward, update; the batch is ready before, and one step more is run first and not counted.

RecTools' own, as shipped: one adaptor (whitening projection and a two-layer head, 384 wide for 384 features; without
the head a step is not measurably faster) where UniSRec has 8 experts and a gate; pre-norm blocks with an inner size
of 300 (here 256); dot products (here cosines over a temperature); dropout, learning rates and initial weights; one
pass per history, padded on the left to 50, the softmax computed at padded positions too. Its items are those of the
training histories, without PAD: on Scientific 4,373 (here 4,386). Where this package cuts a long history into
overlapping windows, RecTools predicts every position of each window and is credited with it.

Left out in RecTools' favour: Lightning's loop, logging, gradient clipping, and making the batches.

Shapes: B histories, L length (50), I interactions, W windows, N items, F feature.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # recbole_mpo is not installed beside the peer

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import pytorch_lightning  # noqa: E402
import rectools  # noqa: E402
import torch  # noqa: E402
from rectools.fast_transformers import UniSRecModel  # noqa: E402

MAX_LENGTH = 50


class TimedSteps:
    """Takes the place of Lightning's trainer in RecTools' ``fit``: one untimed step, then ``steps`` timed ones."""

    def __init__(self, steps: int):
        self.steps = steps
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.targets: list[int] = []
        self.losses: list[float] = []

    def fit(self, module, train_loader, _validation_loader):
        """Trains RecTools' module with its own optimizer on its own batches (``x`` and ``y`` [B, L])."""
        module.train()
        optimizer = module.configure_optimizers()
        for step, batch in zip(range(self.steps + 1), endless(train_loader), strict=False):
            begin, cpu_begin = time.perf_counter(), time.process_time()
            optimizer.zero_grad()
            loss = module.training_step(batch, step)
            loss.backward()
            optimizer.step()
            self.seconds.append(time.perf_counter() - begin)
            self.cpu_seconds.append(time.process_time() - cpu_begin)
            self.targets.append(int((batch["y"] != 0).sum()))
            self.losses.append(loss.item())


class TimedUniSRec(UniSRecModel):
    """RecTools' model, its training loop replaced by ``TimedSteps``."""

    def __init__(self, features: torch.Tensor, steps: int, **settings):
        super().__init__(features, **settings)
        self.timed_steps = TimedSteps(steps)

    def _make_trainer(self, max_epochs, val_dl=None):
        return self.timed_steps


def endless(loader):
    """Epoch after epoch of a loader's batches."""
    while True:
        yield from loader


def interactions(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Users, items and times [I], as RecTools takes them: each history a user of its own."""
    users = np.repeat(np.arange(len(starts)), lengths)
    times = np.arange(len(users))
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = values[starts[users] + times - first]
    return tuple(torch.from_numpy(column.astype(np.int64)) for column in (users, items, times))


def versions() -> dict[str, str]:
    """Return the versions of what a measurement runs on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rectools": rectools.__version__,
        "pytorch_lightning": pytorch_lightning.__version__,
        "numpy": np.__version__,
    }


def measure(arguments: argparse.Namespace) -> dict:
    """Trains and returns the record: samples without the first step, versions, and configuration."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    with np.load(arguments.histories) as histories:
        starts, lengths = histories["starts"], histories["lengths"]
        columns = interactions(histories["values"], starts, lengths)
    targets_per_history = np.minimum(lengths - 1, MAX_LENGTH).mean()
    settings = {
        "n_factors": 300,
        "n_blocks": 2,
        "n_heads": 2,
        "session_max_len": MAX_LENGTH,
        "loss": "softmax",
        "optimizer": "adam",
        "weight_decay": 0.0,
        "batch_size": max(1, round(arguments.batch_targets / targets_per_history)),
        "device": "cpu",
    }
    model = TimedUniSRec(torch.from_numpy(np.load(arguments.features)), arguments.steps, **settings)
    # training_step logs its loss; without Lightning's trainer that is a warning and nothing else.
    warnings.filterwarnings("ignore", message=".*self.log.*")
    model.fit(*columns)
    timed = model.timed_steps
    seconds, targets = timed.seconds[1:], timed.targets[1:]
    return {
        "seconds_per_target": [second / count for second, count in zip(seconds, targets, strict=True)],
        "targets": targets,
        "seconds": seconds,
        "cpu_seconds": timed.cpu_seconds[1:],
        "losses": timed.losses,
        "versions": versions(),
        "config": {
            **settings,
            "dropout": model.dropout,
            "adaptor_dropout": model.adaptor_dropout,
            "histories": len(starts),
            "items": len(model.item_id_mapping),
            "features": list(model.pretrained_item_embeddings.shape),
            "batch_targets": arguments.batch_targets,
            "threads": torch.get_num_threads(),
            "seed": arguments.seed,
        },
    }


def main() -> int:
    """Measures, writes the record, and prints the median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--histories", "--features", "--output"):
        parser.add_argument(name, required=True, type=Path)
    for name, default in (("--batch_targets", 2048), ("--steps", 5), ("--threads", 2), ("--seed", 2020)):
        parser.add_argument(name, type=int, default=default)
    arguments = parser.parse_args()
    result = measure(arguments)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    median = float(np.median(result["seconds_per_target"]))
    print(f"RecTools' UniSRec {median * arguments.batch_targets:8.3f} s a step of {arguments.batch_targets} targets")
    return 0


if __name__ == "__main__":
    sys.exit(main())
