"""What a compressed model is worth: quality by the run's own evaluation, speed of ranking, and how scores changed.

Shapes: B histories, N items (row 0 is PAD), R targets, K items at the top.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recbole_mpo.common.paired import paired_difference
from recbole_mpo.common.rank_gains import rank_gains
from recbole_mpo.common.recbole_globals import without_tensorboard
from recbole_mpo.data.atomic_files import SPLITS
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release.compress.compressed_files import load_compressed
from recbole_mpo.release.compress.context import matrices, weight_of
from recbole_mpo.trainer.ranking import metrics_from_ranks

METRICS = (("hit", 10), ("ndcg", 10), ("hit", 50), ("ndcg", 50))
BATCHES = (1, 256)
WARM_UP, REPEATS = 10, 50
# Histories whose scores are compared, and the list whose overlap is counted.
COMPARED, TOP = 512, 10


class Measures:
    """Measures models of one experiment.

    Args:
        experiment: the experiment.
        folder: a folder for trainers, which write nothing.
    """

    def __init__(self, experiment: Experiment, folder: str | Path):
        self.experiment, self.folder = experiment, Path(folder)
        self._batch = None

    def ranks(self, model: nn.Module, splits: tuple[str, ...] = SPLITS[1:]) -> dict[str, np.ndarray]:
        """Return the rank of each target [R] by split, as ``evaluate`` computes it; empty splits are left out."""
        with without_tensorboard():
            trainer = self.experiment.trainer(model, self.folder)
        loaders = dict(zip(SPLITS[1:], self.experiment.data.loaders[1:], strict=True))
        return {split: trainer.target_ranks(loaders[split])["rank"] for split in splits if len(loaders[split]._dataset)}

    def valid_score(self, model: nn.Module) -> float:
        """Return NDCG@10 on the valid part."""
        return metrics_of(self.ranks(model, SPLITS[1:2])["valid"])["ndcg@10"]

    def histories(self, count: int):
        """Return the first rows of the valid part as a batch of RecBole's rows; of the test part if that is empty."""
        if self._batch is None:
            loaders = self.experiment.data.loaders[1:]
            loader = next((loader for loader in loaders if len(loader._dataset)), loaders[0])
            self._batch = next(iter(loader))[0][: max(COMPARED, *BATCHES)]
        return self._batch[:count]

    def scores(self, model: nn.Module) -> Tensor:
        """Return the scores [B, N - 1] of all items but PAD for some histories of the valid part."""
        with torch.no_grad(), merged(model.eval()):
            vectors = model.encode_items()
            return model.score(model.encode_histories(vectors, self.histories(COMPARED)), vectors)[:, 1:]

    def times(self, folder: str | Path) -> dict:
        """Return how long the compressed model of a folder takes to load, and to rank by its stored item vectors."""
        model = load_compressed(folder)
        return {"load_seconds": load_seconds(folder), "latency_ms": self.latencies(model)}

    def latencies(self, model: nn.Module) -> dict[str, dict[str, float]]:
        """Return the median and the 95th percentile of the milliseconds of ranking, by number of histories.

        Item vectors are computed before, one thread computes, and the first few rankings are not counted. ``busy_p50``
        is the median of the processor's time, which other programs on the machine disturb less.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode(), merged(model.eval()):
                vectors = model.encode_items()
                candidates = model.candidates(vectors)
                return {f"batch_{size}": self._latency(model, vectors, candidates, size) for size in BATCHES}
        finally:
            torch.set_num_threads(threads)

    def _latency(self, model: nn.Module, vectors: Tensor, candidates: Tensor, size: int) -> dict[str, float]:
        available = len(self.histories(max(BATCHES)))
        seconds, busy = [], []
        for number in range(WARM_UP + REPEATS):
            begin = number * size % max(available - size + 1, 1)
            rows = self.histories(max(BATCHES))[begin : begin + size]
            start, start_busy = time.perf_counter(), time.process_time()
            states = model.encode_histories(vectors, rows)
            (model.queries(states) @ candidates.t())[:, 1:].topk(min(TOP, len(candidates) - 1))
            seconds.append(time.perf_counter() - start)
            busy.append(time.process_time() - start_busy)
        middle, high = np.quantile(seconds[WARM_UP:], (0.5, 0.95)) * 1000
        busy_middle = np.median(busy[WARM_UP:]) * 1000
        figures = {"p50": float(middle), "p95": float(high), "busy_p50": float(busy_middle)}
        return {**figures, "histories": min(size, available)}


def metrics_of(ranks_R: np.ndarray) -> dict[str, float]:
    """Return HIT and NDCG at 10 and 50 of ranks."""
    return {f"{name}@{k}": metrics_from_ranks(ranks_R, [name], [k])[f"{name}@{k}"] for name, k in METRICS}


def paired_differences(ranks_R: np.ndarray, reference_R: np.ndarray) -> dict[str, dict]:
    """Return how much each metric differs from that of other ranks of the same targets, with a 95% interval."""
    differences = {}
    for name, k in METRICS:
        result = paired_difference(rank_gains(ranks_R, name, k), rank_gains(reference_R, name, k))
        differences[f"{name}@{k}"] = {
            "mean": result.mean,
            "low": result.low,
            "high": result.high,
            "p_value": result.p_value,
        }
    return differences


def compare_scores(scores_BN: Tensor, reference_BN: Tensor) -> dict[str, float]:
    """Return the mean overlap of the best items of each row, and the largest difference of two scores."""
    count = min(TOP, scores_BN.shape[1])
    best_BK, other_BK = (scores.topk(count).indices for scores in (scores_BN, reference_BN))
    overlap = (best_BK.unsqueeze(2) == other_BK.unsqueeze(1)).any(dim=2).float().mean()
    return {"top10_overlap": float(overlap), "largest_difference": float((scores_BN - reference_BN).abs().max())}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the whole weight of each layer whose matrix may be compressed, by name."""
    return {name: weight_of(layer).detach().clone() for name, layer in matrices(model).items()}


def layer_errors(weights: dict[str, Tensor], reference: dict[str, Tensor], kept_experts=None) -> dict[str, float]:
    """Return the distance of each weight from the original one, relative to its norm; of equal shapes alone.

    Args:
        weights: weights of the compressed model by name.
        reference: weights of the original by name.
        kept_experts: numbers of the experts that stay, if some were taken out.
    """
    errors = {}
    for name, weight in weights.items():
        original = reference.get(_former_name(name, kept_experts))
        if original is not None and original.shape == weight.shape:
            errors[name] = float((weight - original).norm() / original.norm().clamp_min(1e-30))
    return errors


def _former_name(name: str, kept_experts: list[int] | None) -> str:
    parts = name.split(".")
    if kept_experts is None or parts[0] != "moe_adaptor":
        return name
    return ".".join([*parts[:2], str(kept_experts[int(parts[2])]), *parts[3:]])


def load_seconds(folder: str | Path) -> float:
    """Return the shorter time of two loads of a compressed model with its item vectors."""
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        load_compressed(folder)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
