"""Evaluation by the rank of each target among all items.

With one target per row every metric here follows from its rank: recbole_mpo.common.rank_gains.

Shapes: B rows of a batch, N items (column 0 is PAD), R rows.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.common.progress import progress_bar
from recbole_mpo.common.rank_gains import GAINS, rank_gains
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.trainer.finite import check_scores

# Largest number of scores held at once.
MAX_SCORES = 1 << 25


def can_rank(metrics) -> bool:
    """Return whether all of the metrics can be computed from ranks."""
    return all(metric.lower() in GAINS for metric in metrics)


def ranks_of_targets(scores_BN: Tensor, targets_B: Tensor) -> Tensor:
    """Return the rank of each row's target: 1 + items with a higher score + other items with the same score.

    PAD is not a candidate, and a target whose score is -inf ranks last. The scores are overwritten with 0 and 1, so
    that their sum does not need a second array.

    Raises:
        RecboleMPOError: a score is +inf or not a number.
    """
    scores_BN[:, 0] = -torch.inf
    check_scores(scores_BN)
    target_B1 = scores_BN.gather(1, targets_B.unsqueeze(1))
    digits = torch.float32 if scores_BN.shape[1] < 1 << 24 else torch.float64
    count_type = torch.promote_types(scores_BN.dtype, digits)
    # A target of -inf ties with PAD too, which does not count.
    return scores_BN.ge_(target_B1).sum(dim=1, dtype=count_type).long().clamp(max=scores_BN.shape[1] - 1)


def metrics_from_ranks(ranks: np.ndarray, metrics: Iterable[str], topk: Iterable[int]) -> dict[str, float]:
    """Return the mean of metrics over all rows, unrounded.

    Args:
        ranks: rank of each row's target [R], from 1.
        metrics: names of metrics: ``hit``, ``recall``, ``precision``, ``ndcg``, ``mrr`` or ``map``.
        topk: cut-offs k.

    Returns:
        ``{"hit@10": …, …}``, for every metric at every k.
    """
    names = [metric.lower() for metric in metrics]
    return {f"{metric}@{k}": float(rank_gains(ranks, metric, k).mean()) for metric in names for k in topk}


def rows_per_batch(batch_size: int, item_num: int) -> int:
    """Return how many rows to score at once, so that at most ``MAX_SCORES`` scores are held."""
    return max(1, min(batch_size, MAX_SCORES // item_num))


# A function from a batch of RecBole's evaluation rows and their targets [B] to the ranks of the targets [B].
Rank = Callable[[object, Tensor], Tensor]


def rank_by_scores(score: Callable, item_num: int) -> Rank:
    """Return a function that ranks by ``score``, a function from a batch to the scores of all items."""

    def rank(interaction, targets_B: Tensor) -> Tensor:
        size = rows_per_batch(len(targets_B), item_num)
        parts = [slice(begin, begin + size) for begin in range(0, len(targets_B), size)]
        if len(parts) == 1:
            return ranks_of_targets(score(interaction).view(len(targets_B), -1), targets_B)
        return torch.cat([rank(interaction[part], targets_B[part]) for part in parts])

    return rank


@contextmanager
def rank_by_item_vectors(model, batch_size: int) -> Iterator[Rank]:
    """Yield a function that ranks by a model's item vectors, which are computed once, with MPO weights merged."""
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
    """Return the ranks of all rows of a loader.

    Returns:
        ``{"user", "rank", "history_length", "target"}``, each int32 [R], in the order of the rows.
    """
    columns: dict[str, list] = {"user": [], "rank": [], "history_length": [], "target": []}
    batches = progress_bar(eval_data, shown=show_progress, description="Evaluating", unit="batch")
    for interaction, _, _, targets_B in batches:
        columns["rank"].append(rank(interaction.to(device), targets_B.to(device)).cpu())
        columns["user"].append(interaction[config["USER_ID_FIELD"]].cpu())
        columns["history_length"].append(interaction[config["ITEM_LIST_LENGTH_FIELD"]].cpu())
        columns["target"].append(targets_B)
    return {name: torch.cat(parts).numpy().astype(np.int32) for name, parts in columns.items()}
