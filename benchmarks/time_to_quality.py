"""Seconds of training until a valid NDCG@10 is reached: this package's model, and RecTools' UniSRec.

    python benchmarks/time_to_quality.py [--model=MPORec] [--dataset=Scientific] [--quality=0.07]
                                         [--limit_minutes=60] [--only=ours|rectools|ours,rectools]
                                         [--folder=saved/time_to_quality] [--output=FILE]
                                         [--peer_KEY=VALUE ...] [--key=value ...]

Each side is one whole training in a process of its own, the peer's after ours. Both see the same training histories,
item features and validation rows; after each epoch the ranks of the same targets are computed by the same code from
the model's vectors, history items being candidates unless ``--eval_history=masked``.

``train_seconds`` are the epochs alone, making batches included, validation not; ``wall_seconds`` also hold validation,
both from the first step on. Reading data, building the model and writing checkpoints are in neither. A side ends with
the first epoch that reaches ``quality``, or the first after ``limit_minutes`` of training (which counts), or by its
own recipe: ours stops early as the settings say. ``--key=value`` are our settings, on top of the defaults; ``--peer_``
those of RecTools' ``UniSRecModel``, on top of peers/rectools_quality.py.

A side that is finished stays in ``folder`` and is not measured again unless ``--only`` names it; ``--only`` measures
no other side.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from recbole_mpo.common.process import prepare_process

prepare_process()

import numpy as np  # noqa: E402 - the process is prepared before PyTorch is loaded
import torch  # noqa: E402
from common import CPU, SETTINGS, Built, main  # noqa: E402
from peers.export import write_inputs  # noqa: E402
from train_step import alone  # noqa: E402

from recbole_mpo.common import machine  # noqa: E402
from recbole_mpo.common.values import as_list  # noqa: E402
from recbole_mpo.quick_start.experiment import Experiment  # noqa: E402
from recbole_mpo.trainer import ranking  # noqa: E402

PEERS = Path(__file__).resolve().parent / "peers"
PEER = (PEERS / ".venv" / "bin" / "python", PEERS / "rectools_quality.py")
SIDES = ("ours", "rectools")
# What makes the two curves one thing; the other settings are free.
MEASURED = {"metrics": ["NDCG"], "topk": [10], "valid_metric": "NDCG@10", "eval_mode": "ranks", "eval_step": 1}


class Curve:
    """The epochs of one training, whose clock begins with the object; says when training is over.

    Args:
        side: its name, for the line printed per epoch.
        quality: the NDCG@10 to reach.
        limit_seconds: of training.
    """

    def __init__(self, side: str, quality: float, limit_seconds: float):
        self.side, self.quality, self.limit_seconds = side, quality, limit_seconds
        self.begin = time.perf_counter()
        self.epochs: list[dict] = []

    def add(self, train_seconds: float, cpu_seconds: float, ndcg: float):
        """Add an epoch: seconds since training began, of its epochs and of all processor time, and valid NDCG@10."""
        wall = time.perf_counter() - self.begin
        self.epochs.append(
            {
                "epoch": len(self.epochs),
                "train_seconds": train_seconds,
                "wall_seconds": wall,
                "cpu_seconds": cpu_seconds,
                "ndcg@10": ndcg,
            }
        )
        line = f"epoch {len(self.epochs) - 1}, {train_seconds:.1f} s of training: valid NDCG@10 {ndcg:.4f}"
        print(f"{self.side}: {line}", flush=True)

    @property
    def over(self) -> str | None:
        """Why training is over: ``quality`` or ``limit``; None while it is not."""
        if self.epochs and self.epochs[-1]["ndcg@10"] >= self.quality:
            return "quality"
        return "limit" if self.epochs and self.epochs[-1]["train_seconds"] >= self.limit_seconds else None

    def result(self) -> dict:
        """Return the epoch that reached the quality, if one did, the best epoch, and all."""
        if not self.epochs:
            raise SystemExit(f"{self.side} trained no epoch")
        return {
            "reached": self.epochs[-1] if self.over == "quality" else None,
            "best": max(self.epochs, key=lambda epoch: epoch["ndcg@10"]),
            "ended_by": self.over or "recipe",
            "curve": self.epochs,
        }


class _Over(Exception):
    """Our training is over before its own recipe ends it."""


def train_ours(model: str, dataset: str, settings: dict, quality: float, limit_seconds: float) -> dict:
    """Our side: the trainer's own loop, without checkpoints."""
    built = Built(model, dataset, {**settings, **MEASURED})
    train, valid = built.data.loaders[:2]
    with tempfile.TemporaryDirectory() as folder:
        trainer = built.trainer(folder)
        curve, cpu_begin = Curve("ours", quality, limit_seconds), time.process_time()

        def after_epoch(_epoch, _score):
            seconds = sum(epoch["train_seconds"] for epoch in trainer.history)
            ndcg = trainer.history[-1]["valid"]["ndcg@10"]
            curve.add(seconds, time.process_time() - cpu_begin, ndcg)
            if curve.over:
                raise _Over

        try:
            trainer.fit(train, valid, verbose=False, saved=False, callback_fn=after_epoch)
        except _Over:
            pass
    return {**curve.result(), "config": built.config.plain()}


def peer_inputs(experiment: Experiment, folder: str) -> str:
    """Write what the peer reads (peers/rectools_quality.py); return the hash of its data."""
    valid = experiment.data.splits[1].rows()
    validation = Path(folder) / "valid.npz"
    np.savez(validation, starts=valid.ends - valid.lengths, lengths=valid.lengths)
    histories, features = write_inputs(experiment, folder)
    digest = hashlib.sha256(np.load(features).tobytes())
    for path in (histories, validation):
        with np.load(path) as arrays:
            for name in sorted(arrays.files):
                digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def valid_ndcg(experiment: Experiment, queries: np.ndarray, items: np.ndarray) -> float:
    """Return the valid NDCG@10 of vectors of all validation rows [R, D], in their order, and of all items [N, D]."""
    loader = experiment.data.loaders[1]
    queries_RD, items_ND = torch.from_numpy(queries), torch.from_numpy(items)
    expected = (len(loader.dataset), experiment.data.dataset.item_num)
    if (len(queries), len(items)) != expected:
        raise SystemExit(f"the peer handed over {len(queries)} rows and {len(items)} items, not {expected}")
    begin = 0

    def next_scores(interaction):
        nonlocal begin
        begin += len(interaction)
        return queries_RD[begin - len(interaction) : begin] @ items_ND.t()

    rank = ranking.rank_by_scores(next_scores, len(items), loader.dataset.known_items)
    ranks = ranking.rank_rows(rank, loader, experiment.config, CPU)["rank"]
    return ranking.metrics_from_ranks(ranks, ["ndcg"], [10])["ndcg@10"]


def train_peer(
    experiment: Experiment, folder: str, settings: dict, quality: float, limit_seconds: float, command=PEER
) -> dict:
    """The peer's side: its process trains and hands over vectors, this one ranks and says when to stop."""
    options = {
        "inputs": folder,
        "settings": json.dumps(settings),
        "threads": torch.get_num_threads(),
        "seed": experiment.config["seed"],
    }
    arguments = [*map(str, command), *(f"--{key}={value}" for key, value in options.items())]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        try:
            described = json.loads(peer.stdout.readline() or "null")
            curve = Curve("rectools", quality, limit_seconds)
            for line in peer.stdout:
                epoch = json.loads(line)
                with np.load(epoch["vectors"]) as vectors:
                    ndcg = valid_ndcg(experiment, vectors["queries"], vectors["items"])
                curve.add(epoch["train_seconds"], epoch["cpu_seconds"], ndcg)
                print("stop" if curve.over else "go on", file=peer.stdin, flush=True)
        except BaseException:
            peer.kill()
            raise
    if peer.returncode:
        raise SystemExit(f"the peer's process ended with exit code {peer.returncode}")
    return {**curve.result(), **described}


def finished(path: Path, asked: dict, train: Callable[[], dict], again: bool) -> dict:
    """Return one side's result: that in ``path``, or a new one, which is written there."""
    former = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if former is not None and not again:
        # Through JSON, as the former was.
        now = json.loads(json.dumps(asked))
        differing = sorted(key for key in {*now, *former["asked"]} if now.get(key) != former["asked"].get(key))
        if differing:
            raise SystemExit(
                f"{path} holds another measurement (other {', '.join(differing)}); --only={path.stem} replaces it, "
                "--folder=DIR keeps both"
            )
        print(f"{path.stem}: from {path}", flush=True)
        return former
    # The tree as it was when training began.
    measured = {"asked": asked, "git": machine.revision(), "device": machine.device_description(CPU)}
    result = {**measured, **train()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    return result


def summary(sides: dict) -> dict:
    """Return the seconds of each side, None where it did not reach the quality, and their ratio.

    Where the peer alone did not, the ratio is what it is at least: by all of the peer's seconds.
    """
    seconds = {name: side["reached"] and side["reached"]["train_seconds"] for name, side in sides.items()}
    found = {"seconds_to_quality": seconds, "rectools_over_ours": None}
    if len(sides) == len(SIDES) and seconds["ours"]:
        found["rectools_over_ours"] = sides["rectools"]["curve"][-1]["train_seconds"] / seconds["ours"]
        found["is_lower_bound"] = seconds["rectools"] is None
    return found


def measure(
    model: str = "MPORec",
    dataset: str = "Scientific",
    quality: float = 0.07,
    limit_minutes: float = 60,
    only=None,
    folder: str = "saved/time_to_quality",
    **settings,
) -> dict:
    """Return both sides and their ratio."""
    chosen, again = as_list(only) or SIDES, only is not None
    fixed = sorted(MEASURED.keys() & settings.keys())
    if fixed or set(chosen) - set(SIDES):
        raise SystemExit(f"{', '.join(fixed)} cannot be set here" if fixed else f"--only: {' or '.join(SIDES)}")
    if "rectools" in chosen and not PEER[0].is_file():
        raise SystemExit(f"no {PEER[0]} (benchmarks/peers/README.md); --only=ours measures our side alone")
    peer_settings = {key.removeprefix("peer_"): settings[key] for key in settings if key.startswith("peer_")}
    settings = {key: value for key, value in settings.items() if not key.startswith("peer_")}
    target = {"quality": quality, "limit_minutes": limit_minutes}
    limits, sides = (quality, 60 * limit_minutes), {}
    if "ours" in chosen:
        asked = {"model": model, "dataset": dataset, "settings": settings, **target}
        train = partial(alone, train_ours, model, dataset, settings, *limits)
        sides["ours"] = finished(Path(folder) / "ours.json", asked, train, again)
    if "rectools" in chosen:
        experiment = Experiment.of(model, dataset, (), {**SETTINGS, **settings, **MEASURED})
        with tempfile.TemporaryDirectory() as inputs:
            asked = {"data": peer_inputs(experiment, inputs), "dataset": dataset, "settings": peer_settings, **target}
            train = partial(train_peer, experiment, inputs, peer_settings, *limits)
            sides["rectools"] = finished(Path(folder) / "rectools.json", asked, train, again)
    return {"model": model, "dataset": dataset, **target, **summary(sides), "sides": sides}


if __name__ == "__main__":
    sys.exit(main(measure, sys.argv[1:]))
