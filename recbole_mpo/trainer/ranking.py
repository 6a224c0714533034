"""Evaluation by the rank of each target among all items.

With one target per row every metric here follows from its rank: recbole_mpo.common.rank_gains.

Shapes: B rows of a batch, N items (column 0 is PAD), R rows, P pairs of a row and an item.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.progress import progress_bar
from recbole_mpo.common.rank_gains import GAINS, MISSED, rank_gains
from recbole_mpo.data.known_items import KnownItems
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.layers.ranks import ALONE, Ranks
from recbole_mpo.trainer.finite import check_scores
from recbole_mpo.trainer.first_items import FirstItems

# What is known of each evaluated row, and where two of these are in RecBole's rows.
COLUMNS = ("user", "rank", "history_length", "target")
ROW_FIELDS = ("USER_ID_FIELD", "ITEM_LIST_LENGTH_FIELD")
# Largest number of scores held at once.
MAX_SCORES = 1 << 25


def can_rank(metrics) -> bool:
    """Return whether all of the metrics can be computed from ranks."""
    return all(metric.lower() in GAINS for metric in metrics)


def ranks_of_targets(
    scores_BN: Tensor,
    targets_B: Tensor,
    known: tuple[Tensor, Tensor] | None = None,
    first: FirstItems | None = None,
) -> Tensor:
    """Return the rank of each row's target: 1 + items with a higher score + other items with the same score.

    PAD is not a candidate, and a target whose score is -inf ranks last. The scores are overwritten with 0 and 1, so
    that their sum does not need a second array.

    Args:
        scores_BN: scores of all items.
        targets_B: the target of each row.
        known: rows and items [P] of distinct pairs; the item is not a candidate of the row, and as its target it is
            ``MISSED``.
        first: counts the items at the top of each row, if given.

    Raises:
        RecboleMPOError: a score is +inf or not a number.
    """
    scores_BN[:, 0] = -torch.inf
    check_scores(scores_BN)
    candidates = scores_BN.shape[1] - 1
    if known is not None:
        scores_BN[known] = -torch.inf
        candidates = candidates - torch.bincount(known[0], minlength=len(targets_B))
    if first is not None:
        first.add(scores_BN)
    target_B1 = scores_BN.gather(1, targets_B.unsqueeze(1))
    digits = torch.float32 if scores_BN.shape[1] < 1 << 24 else torch.float64
    count_type = torch.promote_types(scores_BN.dtype, digits)
    # A target of -inf ties with PAD and known items too, which do not count.
    ranks_B = scores_BN.ge_(target_B1).sum(dim=1, dtype=count_type).long().clamp(max=candidates)
    if known is not None:
        rows_P, items_P = known
        ranks_B[rows_P[items_P == targets_B[rows_P]]] = MISSED
    return ranks_B


def mask_known(scores_BN: Tensor, known: KnownItems, interaction, largest: int):
    """Set the scores of known items to -inf, for RecBole's evaluator.

    Args:
        scores_BN: scores of all items, which are changed.
        known: the items that are not candidates of a row.
        interaction: the batch of RecBole's rows.
        largest: the largest cut-off.

    Raises:
        ConfigError: a row has fewer candidates than that; RecBole would count items that are not candidates.
    """
    scores_BN[known.pairs(interaction.to(scores_BN.device))] = -torch.inf
    fewest = int((scores_BN > -torch.inf).sum(dim=1).min())
    if fewest < largest:
        raise ConfigError(
            f"with eval_history=masked a user has only {fewest} candidates, fewer than topk={largest}: RecBole's "
            "evaluator cannot rank them; use eval_mode=ranks or a smaller topk"
        )


def metrics_from_ranks(ranks: np.ndarray, metrics: Iterable[str], topk: Iterable[int]) -> dict[str, float]:
    """Return the mean of metrics over all rows, unrounded.

    Args:
        ranks: rank of each row's target [R], from 1, or ``MISSED``.
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


def _slices(length: int, size: int) -> list[slice]:
    return [slice(begin, begin + size) for begin in range(0, length, size)]


def rank_by_scores(
    score: Callable, item_num: int, known: KnownItems | None = None, first: FirstItems | None = None
) -> Rank:
    """Return a function that ranks by ``score``, a function from a batch to the scores of all items.

    Args:
        score: the function.
        item_num: N.
        known: the items that are not candidates of a row, if there are any.
        first: counts the items at the top of each row, if given.
    """

    def rank(interaction, targets_B: Tensor) -> Tensor:
        parts = _slices(len(targets_B), rows_per_batch(len(targets_B), item_num))
        if len(parts) == 1:
            pairs = known.pairs(interaction) if known else None
            return ranks_of_targets(score(interaction).view(len(targets_B), -1), targets_B, pairs, first)
        return torch.cat([rank(interaction[part], targets_B[part]) for part in parts])

    return rank


@contextmanager
def rank_by_item_vectors(
    model, batch_size: int, known: KnownItems | None = None, first: FirstItems | None = None
) -> Iterator[Rank]:
    """Yield a function that ranks by a model's item vectors, which are computed once, with MPO weights merged.

    Args:
        model: an ``ItemVectorRecommender``.
        batch_size: the largest number of rows to rank.
        known: the items that are not candidates of a row, if there are any.
        first: counts the items at the top of each row, if given.
    """
    with merged(model):
        item_vectors = model.encode_items()
        candidates = model.candidates(item_vectors)
        rows = rows_per_batch(batch_size, len(candidates))

        def rank(interaction, targets_B: Tensor) -> Tensor:
            queries = model.queries(model.encode_histories(item_vectors, interaction))
            items, lengths = interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]
            return torch.cat(
                [
                    ranks_of_targets(
                        model.add_evidence(queries[part] @ candidates.t(), items[part], lengths[part]),
                        targets_B[part],
                        known.pairs(interaction[part]) if known else None,
                        first,
                    )
                    for part in _slices(len(targets_B), rows)
                ]
            )

        yield rank


def rank_rows(
    rank: Rank, eval_data, config, device: torch.device, show_progress=False, ranks: Ranks = ALONE
) -> dict[str, np.ndarray]:
    """Return the ranks of all rows of a loader; of several processes each computes every n-th batch.

    Returns:
        ``{"user", "rank", "history_length", "target"}``, each int32 [R], in the order of the rows; ranks are from 1, or
        ``MISSED``.
    """
    table, begin = [torch.empty(0, 1 + len(COLUMNS), dtype=torch.int64)], 0
    batches = progress_bar(eval_data, shown=show_progress, description="Evaluating", unit="batch")
    for number, (interaction, _, _, targets_B) in enumerate(batches):
        row_B, begin = torch.arange(begin, begin + len(targets_B)), begin + len(targets_B)
        if number % ranks.count == ranks.number:
            ranks_B = rank(interaction.to(device), targets_B.to(device)).cpu()
            users_B, lengths_B = (interaction[config[field]].cpu() for field in ROW_FIELDS)
            table.append(torch.stack([row_B, users_B, ranks_B, lengths_B, targets_B], dim=1))
    rows = ranks.gather(torch.cat(table).to(device)).cpu()
    rows = rows[rows[:, 0].argsort()].numpy().astype(np.int32)
    return {name: rows[:, number + 1] for number, name in enumerate(COLUMNS)}
