"""Full-ranking evaluation by each target's rank.

With one target per row every metric here follows from the rank r alone: HIT@k = [r <= k],
NDCG@k = [r <= k] / log2(r + 1), MRR@k = [r <= k] / r.

Shapes: B rows of a batch, N items (column 0 is PAD), R rows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recbole_mpo.layers.mpo.convert import merged

# Largest score matrix held at once, in entries.
MAX_SCORES = 1 << 25

GAINS = {
    "hit": lambda ranks: np.ones(len(ranks)),
    "recall": lambda ranks: np.ones(len(ranks)),
    "ndcg": lambda ranks: 1.0 / np.log2(ranks + 1.0),
    "mrr": lambda ranks: 1.0 / ranks,
    "map": lambda ranks: 1.0 / ranks,
}


def can_rank(metrics) -> bool:
    """Return whether all these metrics follow from ranks."""
    return all(metric.lower() in GAINS or metric.lower() == "precision" for metric in metrics)


def ranks_of_targets(scores_BN: Tensor, targets_B: Tensor) -> Tensor:
    """Return the rank of each row's target: 1 + items scored higher + other items scored the same (pessimistic).

    PAD is no candidate. A target scored NaN ranks last. The scores are overwritten: by 0 and 1, whose sum needs no
    second array.
    """
    scores_BN[:, 0] = -torch.inf
    target_B1 = scores_BN.gather(1, targets_B.unsqueeze(1))
    digits = torch.float32 if scores_BN.shape[1] < 1 << 24 else torch.float64
    count_type = torch.promote_types(scores_BN.dtype, digits)
    at_least = scores_BN.ge_(target_B1).sum(dim=1, dtype=count_type).long()
    return torch.where(target_B1.squeeze(1).isnan(), scores_BN.shape[1] - 1, at_least)


def metrics_from_ranks(ranks: np.ndarray, metrics, topk) -> dict[str, float]:
    """Return ``{"hit@10": …}`` over all rows, unrounded."""
    ranks = ranks.astype(np.float64)
    results = {}
    for metric in (name.lower() for name in metrics):
        for k in topk:
            inside = ranks <= k
            gain = np.ones(len(ranks)) / k if metric == "precision" else GAINS[metric](ranks)
            results[f"{metric}@{k}"] = float((gain * inside).mean())
    return results


def rows_per_batch(batch_size: int, item_num: int) -> int:
    """Return how many rows may be scored at once without holding more than ``MAX_SCORES`` scores."""
    return max(1, min(batch_size, MAX_SCORES // item_num))


# From a batch of RecBole's evaluation rows and their targets [B] to the targets' ranks [B].
Rank = Callable[[object, Tensor], Tensor]


def rank_by_scores(score: Callable, item_num: int) -> Rank:
    """Return a ranking by ``score``, which gives a batch's scores of all items."""

    def rank(interaction, targets_B: Tensor) -> Tensor:
        size = rows_per_batch(len(targets_B), item_num)
        parts = [slice(begin, begin + size) for begin in range(0, len(targets_B), size)]
        if len(parts) == 1:
            return ranks_of_targets(score(interaction).view(len(targets_B), -1), targets_B)
        return torch.cat([rank(interaction[part], targets_B[part]) for part in parts])

    return rank


@contextmanager
def rank_by_item_vectors(model, batch_size: int) -> Iterator[Rank]:
    """Rank by a model's item vectors, computed once with every MPO weight merged, for the time of one evaluation."""
    with merged(model):
        item_vectors = model.encode_items()
        candidates = model.candidates(item_vectors)
        rows = rows_per_batch(batch_size, len(candidates))

        def rank(interaction, targets_B: Tensor) -> Tensor:
            queries = model.queries(model.encode_histories(item_vectors, interaction))
            histories = interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]
            parts = zip(*(column.split(rows) for column in (queries, *histories, targets_B)), strict=True)
            return torch.cat(
                [
                    ranks_of_targets(model.remember(some @ candidates.t(), items, lengths), targets)
                    for some, items, lengths, targets in parts
                ]
            )

        yield rank


def rank_rows(rank: Rank, eval_data, config, device: torch.device, show_progress=False) -> dict[str, np.ndarray]:
    """Rank all rows of a loader.

    Returns:
        ``{"user", "rank", "history_length", "target"}``, each int32 [R], in the order of the rows.
    """
    columns: dict[str, list] = {"user": [], "rank": [], "history_length": [], "target": []}
    batches = tqdm(eval_data, desc="Evaluate", ncols=100, disable=not show_progress, leave=False)
    for interaction, _, _, targets_B in batches:
        columns["rank"].append(rank(interaction.to(device), targets_B.to(device)).cpu())
        columns["user"].append(interaction[config["USER_ID_FIELD"]].cpu())
        columns["history_length"].append(interaction[config["ITEM_LIST_LENGTH_FIELD"]].cpu())
        columns["target"].append(targets_B)
    return {name: torch.cat(parts).numpy().astype(np.int32) for name, parts in columns.items()}
