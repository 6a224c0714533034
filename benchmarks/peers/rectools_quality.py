"""Trains RecTools' UniSRec (rectools.fast_transformers) and hands over its vectors after each epoch.

    PEER_PYTHON rectools_quality.py --inputs=FOLDER [--settings=JSON] [--threads=2] [--seed=2020]

Runs in the peer's own environment (README.md); time_to_quality.py writes the inputs, starts this process and talks to
it line by line. In the folder are ``histories.npz`` and ``features.npy`` (export.py) and ``valid.npz``: ``starts`` and
``lengths`` [R] of the histories of the validation rows in ``values`` of ``histories.npz``. The targets are not there.

Written to standard output, JSON lines: first ``config`` and ``versions``, when training begins; then one line per
epoch: ``train_seconds`` and ``cpu_seconds`` so far, and ``vectors``, a file with ``queries`` [R, D] and ``items``
[N, D] whose products are the scores. After each epoch one line is read: ``stop`` ends training.

RecTools trains as its ``fit`` does, by Lightning's loop, with its own optimizer, learning rates and clipping as
shipped. Set here are what this package's default has too (hidden size 300, 2 blocks, 2 heads, the newest 50 items),
and as many epochs as it takes; ``--settings`` overrides all of it. Training seconds are Lightning's epochs, making the
batches included. Scores are those of its ``predict_topk``; items that no training history has get their vectors from
their features too.

Shapes: B histories, L length, R validation rows, N items with PAD as item 0, F feature, D hidden.
"""

import argparse
import json
import sys
import time
from functools import partial
from inspect import signature
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # recbole_mpo is not installed beside the peer

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import pytorch_lightning  # noqa: E402
import torch  # noqa: E402
from rectools.fast_transformers import UniSRecModel  # noqa: E402
from rectools_unisrec import MAX_LENGTH, interactions, versions  # noqa: E402

SETTINGS = {"n_factors": 300, "n_blocks": 2, "n_heads": 2, "session_max_len": MAX_LENGTH, "epochs": 100_000}
ROWS_AT_ONCE = 512


class HandOver(pytorch_lightning.Callback):
    """Times Lightning's epochs, hands the vectors over after each, and stops where it is told to.

    Args:
        describe: the first line's content, made when training begins.
        features: [N, F] of all items.
        histories: [R, L] validation histories, padded on the left.
        path: the file for the vectors.
        output: where the lines go.
    """

    def __init__(self, describe, features: torch.Tensor, histories: torch.Tensor, path: Path, output):
        self.describe, self.features, self.histories = describe, features, histories
        self.path, self.output = path, output
        self.train_seconds = self.begin = self.cpu_begin = 0.0

    def say(self, **line):
        """Write one line."""
        print(json.dumps(line), file=self.output, flush=True)

    def on_train_start(self, trainer, pl_module):
        """Describe the run; its clock begins."""
        self.cpu_begin = time.process_time()
        self.say(**self.describe())

    def on_train_epoch_start(self, trainer, pl_module):
        """Begin an epoch."""
        self.begin = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module):
        """End an epoch's time, and ask whether to go on."""
        self.train_seconds += time.perf_counter() - self.begin
        queries, items = vectors(pl_module.net, self.features, self.histories)
        np.savez(self.path, queries=queries, items=items)
        cpu_seconds = time.process_time() - self.cpu_begin
        self.say(train_seconds=self.train_seconds, cpu_seconds=cpu_seconds, vectors=str(self.path))
        if sys.stdin.readline().strip() != "go on":
            trainer.should_stop = True


class WatchedUniSRec(UniSRecModel):
    """RecTools' model; a callback watches its training."""

    watcher: HandOver

    def _make_trainer(self, max_epochs, val_dl=None):
        trainer = super()._make_trainer(max_epochs, val_dl)
        trainer.callbacks.append(self.watcher)
        return trainer


@torch.no_grad()
def vectors(net, features: torch.Tensor, histories: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of the histories [R, D] and of all items [N, D], in evaluation mode."""
    trained, is_training = net.frozen_emb, net.training
    # With the features of all items in their place, its ids are the ids here.
    net.frozen_emb = features.unsqueeze(1)
    net.eval()
    try:
        queries = torch.cat([net.encode_last(part) for part in histories.split(ROWS_AT_ONCE)])
        return queries.numpy(), net.project_all().numpy()
    finally:
        net.frozen_emb = trained
        net.train(is_training)


def padded_left(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, width: int) -> torch.Tensor:
    """Return the newest ``width`` items of each history [R, width]; its position tells an item's age."""
    rows = np.zeros((len(starts), width), dtype=np.int64)
    for row, start, length in zip(rows, starts.tolist(), lengths.tolist(), strict=True):
        kept = min(length, width)
        row[width - kept :] = values[start + length - kept : start + length]
    return torch.from_numpy(rows)


def described(model: UniSRecModel, seed: int) -> dict:
    """Return all settings of a model, and the versions of what it runs on."""
    names = [name for name in signature(UniSRecModel.__init__).parameters if hasattr(model, name)]
    names.remove("pretrained_item_embeddings")
    return {
        "config": {**{name: getattr(model, name) for name in names}, "threads": torch.get_num_threads(), "seed": seed},
        "versions": versions(),
    }


def train(arguments: argparse.Namespace, output):
    """Train until told to stop."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    settings = {**SETTINGS, "device": "cpu", **json.loads(arguments.settings)}
    folder = arguments.inputs
    features = torch.from_numpy(np.load(folder / "features.npy"))
    with np.load(folder / "histories.npz") as train_rows, np.load(folder / "valid.npz") as valid:
        columns = interactions(train_rows["values"], train_rows["starts"], train_rows["lengths"])
        width = settings["session_max_len"]
        histories = padded_left(train_rows["values"], valid["starts"], valid["lengths"], width)
    model = WatchedUniSRec(features, **settings)

    model.watcher = HandOver(
        partial(described, model, arguments.seed), features, histories, folder / "vectors.npz", output
    )
    model.fit(*columns)


def main() -> int:
    """Train; only the lines of the conversation go to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", required=True, type=Path)
    parser.add_argument("--settings", default="{}")
    for name, default in (("--threads", 2), ("--seed", 2020)):
        parser.add_argument(name, type=int, default=default)
    arguments = parser.parse_args()
    output, sys.stdout = sys.stdout, sys.stderr
    train(arguments, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
