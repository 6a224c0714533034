"""Tasks of pre-training, each a loss of a model and a batch.

``nip`` predicts the next item at every position. ``si`` and ``ss`` are UniSRec's two contrastive tasks (Hou et al., KDD
2022, eq. 6 and 7), ``rel`` brings neighbouring items together, and ``mip`` finds masked items from both sides.

Shapes: N items (row 0 is PAD), D hidden, R rows of a packed batch, L length, M targets, B histories, P pairs, C
candidates.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.common.values import as_list
from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.layers.cross_task import CrossTask
from recbole_mpo.layers.losses import at_least_float32
from recbole_mpo.layers.ranks import Ranks
from recbole_mpo.model.task_sum import TaskSum
from recbole_mpo.model.task_weighting import WEIGHTINGS

# Share of the items of a history that ``ss`` drops, and that ``mip`` masks.
DROPPED, MASKED = 0.2, 0.2
# Tasks whose queries are states of histories, which a connection of tasks can change.
WITH_STATES = ("nip", "si", "ss", "mip")
# A function from the number of candidates of a contrast to what its loss is divided by.
Divisor = Callable[[int], float]


def undivided(count: int) -> float:
    """Return 1, which leaves losses as they are."""
    return 1.0


def log_count(count: int) -> float:
    """Return the loss of a guess among so many candidates, and at least that among two."""
    return math.log(max(count, 2))


DIVISORS: dict[str, Divisor] = {"none": undivided, "logN": log_count}
"""What losses are divided by, by value of the setting ``loss_norm``."""


def contrast(queries_PD: Tensor, candidates_CD: Tensor, positives_P: Tensor, same_PC: Tensor, residual: bool) -> Tensor:
    """Return the mean of ``-log(exp(q p) / sum over candidates of exp(q c))``, p being each query's positive.

    Args:
        queries_PD: queries, already scaled as scores need it.
        candidates_CD: candidates, scaled likewise.
        positives_P: column of each query's positive.
        same_PC: which candidates are no negatives, such as those of the same item as the positive.
        residual: whether these keep a residual of ``exp(0)`` in the sum, as in UniSRec's published code, instead of
            being left out.
    """
    logits_PC = at_least_float32(queries_PD @ candidates_CD.t())
    is_positive = F.one_hot(positives_P, logits_PC.shape[1]).bool()
    masked_PC = logits_PC.masked_fill(same_PC & ~is_positive, 0.0 if residual else -torch.inf)
    return _mean_cross_entropy(masked_PC, positives_P)


def _mean_cross_entropy(logits_PC: Tensor, targets_P: Tensor) -> Tensor:
    """Return the mean cross-entropy; zero without targets, as in a process that got no part of a batch."""
    return F.cross_entropy(logits_PC, targets_P, reduction="sum") / max(1, len(targets_P))


class PerGuess(nn.Module):
    """``nip`` in units of a guess among all items: an objective divided by the logarithm of their number.

    Args:
        objective: the loss of the next item.
    """

    def __init__(self, objective: nn.Module):
        super().__init__()
        self.objective = objective

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the loss of a batch."""
        return self.objective(model, batch) / log_count(model.n_items - self.objective.mask_pad)


class _AmongTheBatch(nn.Module):
    """Base of UniSRec's tasks, which contrast each history with all histories of the batch.

    Args:
        residual: see :func:`contrast`.
        divisor: what the loss is divided by.
    """

    def __init__(self, residual: bool, divisor: Divisor = undivided):
        super().__init__()
        self.residual, self.divisor = residual, divisor

    def _contrast(self, ranks: Ranks, queries_BD: Tensor, others_BD: Tensor, targets_B: Tensor) -> Tensor:
        """Return the contrast of each query with the vector of its own row among those of all rows of all processes."""
        others_AD, targets_A = ranks.gather(others_BD), ranks.gather(targets_B)
        own_B = ranks.rows_before(len(targets_B)) + torch.arange(len(targets_B), device=queries_BD.device)
        loss = contrast(queries_BD, others_AD, own_B, targets_B.unsqueeze(1) == targets_A, self.residual)
        return ranks.part_of_mean(loss, len(targets_B)) / self.divisor(len(others_AD))


class SequenceItem(_AmongTheBatch):
    """``si``: the last state of each history against the targets of all histories of the batch."""

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the loss of a batch."""
        last = last_targets(batch)
        ids, rows = torch.cat([last.items.flatten(), last.targets]).unique(return_inverse=True)
        vectors = model.encode_items(ids)
        items, targets_B = rows.split([last.items.numel(), len(last.targets)])
        states_BD = model.predicting_states(vectors, items.view_as(last.items), last)
        positives_BD = model.candidates(F.embedding(targets_B, vectors))
        return self._contrast(model.ranks, model.queries(states_BD, "si"), positives_BD, last.targets)


class SequenceSequence(_AmongTheBatch):
    """``ss``: the last state of each history against those of all histories with a fifth of their items dropped."""

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the loss of a batch."""
        histories_BL, lengths_B, targets_B = unpacked(batch)
        ids, rows = histories_BL.unique(return_inverse=True)
        vectors = model.encode_items(ids)
        draws_BL, one_BL, inside_BL = _draws(histories_BL, lengths_B)
        keeps_BL = ((draws_BL >= DROPPED) | one_BL) & inside_BL
        order_BL = torch.argsort(~keeps_BL, dim=1, stable=True)
        kept_B = keeps_BL.sum(dim=1)
        dropped_BL = rows.gather(1, order_BL).masked_fill(~keeps_BL.gather(1, order_BL), 0)
        queries_BD = model.queries(model.encode_sequences(vectors, rows, lengths_B), "ss")
        others_BD = model.candidates(model.view(model.encode_sequences(vectors, dropped_BL, kept_B), "ss"))
        return self._contrast(model.ranks, queries_BD, others_BD, targets_B)


class Relevance(nn.Module):
    """``rel``: neighbouring items of a history against all other neighbours of the batch, in both directions.

    It trains the item encoder alone.

    Args:
        divisor: what the loss is divided by.
    """

    def __init__(self, divisor: Divisor = undivided):
        super().__init__()
        self.divisor = divisor

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the loss of a batch."""
        pairs_P2 = model.ranks.gather(neighbours(batch)).unique(dim=0)
        ids, rows_P2 = pairs_P2.unique(return_inverse=True)
        vectors_CD = model.encode_shared_items(ids)
        queries_CD, candidates_CD = model.scoring.queries(vectors_CD), model.candidates(vectors_CD)
        places = rows_P2[model.ranks.share(len(pairs_P2))].unbind(dim=1)
        # An item is not a negative of itself.
        losses = [
            contrast(F.embedding(one, queries_CD), candidates_CD, other, F.one_hot(one, len(ids)).bool(), False)
            for one, other in (places, places[::-1])
        ]
        return model.ranks.part_of_mean(sum(losses) / 2, len(places[0])) / self.divisor(len(ids))


class MaskedItem(nn.Module):
    """``mip``: a fifth of the items of each history, from those on both sides, among the items of the batch.

    Args:
        size: D.
        std: standard deviation of the mask's initial vector.
        divisor: what the loss is divided by.
    """

    def __init__(self, size: int, std: float, divisor: Divisor = undivided):
        super().__init__()
        self.divisor = divisor
        self.mask = nn.Parameter(std * torch.randn(size))

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the loss of a batch."""
        histories_BL, lengths_B, _ = unpacked(batch)
        ids = model.ranks.gather(histories_BL.flatten()).unique()
        rows_BL, vectors_CD = torch.searchsorted(ids, histories_BL), model.encode_shared_items(ids)
        draws_BL, one_BL, inside_BL = _draws(histories_BL, lengths_B)
        hides_BL = ((draws_BL < MASKED) | one_BL) & inside_BL
        inputs_BLD = torch.where(hides_BL.unsqueeze(2), self.mask, F.embedding(rows_BL, vectors_CD))
        states_BLD = model.sequence.states_from_both_sides(inputs_BLD, ~inside_BL)
        logits_PC = model.queries(states_BLD[hides_BL], "mip") @ model.candidates(vectors_CD).t()
        loss = _mean_cross_entropy(at_least_float32(logits_PC), rows_BL[hides_BL])
        return model.ranks.part_of_mean(loss, len(logits_PC)) / self.divisor(len(ids))


def _draws(histories_BL: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a number from 0 to 1 for each place, one random place of each history, and which places have items."""
    places_BL = torch.arange(histories_BL.shape[1], device=histories_BL.device).expand_as(histories_BL)
    draws_BL = torch.rand_like(places_BL, dtype=torch.float32)
    one_B1 = (torch.rand(len(histories_BL), 1, device=histories_BL.device) * lengths_B.unsqueeze(1)).long()
    return draws_BL, places_BL == one_B1, places_BL < lengths_B.unsqueeze(1)


def last_targets(batch: PackedBatch) -> PackedBatch:
    """Return the batch with the last target of each history alone."""
    following = F.pad(batch.positions[:, 1:], (0, 1)).flatten()
    is_last_M = following.index_select(0, batch.predicting) == 0
    return replace(batch, predicting=batch.predicting[is_last_M], targets=batch.targets[is_last_M])


def unpacked(batch: PackedBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the histories [B, L], left-aligned and padded with 0, their lengths, and the last target of each."""
    last = last_targets(batch)
    lengths_B = batch.positions.flatten().index_select(0, last.predicting) + 1
    longest = int(lengths_B.max()) if len(lengths_B) else 1
    columns_L = torch.arange(longest, device=lengths_B.device)
    places_BL = (last.predicting - lengths_B + 1).unsqueeze(1) + columns_L
    inside_BL = columns_L < lengths_B.unsqueeze(1)
    items = batch.items.flatten()
    histories_BL = items[places_BL.clamp(max=len(items) - 1)].masked_fill(~inside_BL, 0)
    return histories_BL, lengths_B, last.targets


def neighbours(batch: PackedBatch) -> Tensor:
    """Return the items [P, 2] before and after each other within the histories of a batch, each different pair once."""
    follows_RL = batch.positions[:, 1:] > 0
    pairs_P2 = torch.stack((batch.items[:, :-1][follows_RL], batch.items[:, 1:][follows_RL]), dim=1)
    return pairs_P2[pairs_P2[:, 0] != pairs_P2[:, 1]].unique(dim=0)


def make_tasks(config, objective: nn.Module) -> nn.Module:
    """Return the tasks that the settings name; with ``nip`` alone, the objective itself.

    Args:
        config: settings of the run.
        objective: the loss of the next item.
    """
    if is_next_item_alone(config):
        return objective
    residual, divisor = config["unisrec_compat"], DIVISORS[config["loss_norm"]]
    make = {
        "nip": lambda: objective if divisor is undivided else PerGuess(objective),
        "si": lambda: SequenceItem(residual, divisor),
        "ss": lambda: SequenceSequence(residual, divisor),
        "rel": lambda: Relevance(divisor),
        "mip": lambda: MaskedItem(config["hidden_size"], config["initializer_range"], divisor),
    }
    names, weights = as_list(config["tasks"]), config["task_weights"] or {}
    weighting = WEIGHTINGS[config["task_weighting"]]([float(weights.get(name, 1.0)) for name in names])
    return TaskSum({name: make[name]() for name in names}, weighting)


def make_connection(config) -> CrossTask | None:
    """Return the connection of the tasks that the settings name; None for ``cross_task: none``.

    The main task is ``nip``, or else the first.
    """
    if config["cross_task"] == "none":
        return None
    names = [name for name in as_list(config["tasks"]) if name in WITH_STATES]
    main = "nip" if "nip" in names else names[0]
    return CrossTask(
        config["hidden_size"], names, main, config["cross_task"], config["fuse"], config["initializer_range"]
    )


def is_next_item_alone(config) -> bool:
    """Return whether the settings name no task but the next item, which is the model's own objective."""
    return as_list(config["tasks"]) in ([], ["nip"])
