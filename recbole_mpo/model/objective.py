"""What a text model is trained on: the next item, among all items or a sample of them.

An objective is a module called with a model and a batch. Another objective trains the same model on another task.

Shapes: N items (row 0 is PAD), D hidden, M targets, C candidates of a sample, R rows of a packed batch, L length.
"""

import logging
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.layers.losses import (
    CHUNK_LOGITS,
    catalogue_cross_entropy,
    inclusion_probability,
    sampled_cross_entropy,
)
from recbole_mpo.layers.pair_evidence import Columns
from recbole_mpo.layers.ranks import ALONE, Ranks

logger = logging.getLogger(__name__)

# Number of items up to which the sample is the beginning of a random order of all.
MOST_PERMUTED = 1 << 20
# Number of logits above which the full loss warns: 2 GB, and 2 GB more for their softmax.
MANY_LOGITS = 1 << 29


class SoftmaxObjective(nn.Module):
    """Mean cross-entropy of the targets over all items.

    Args:
        mask_pad: whether to leave the padding item out of the softmax.
        in_chunks: whether to compute the same loss in less memory, by encoding each chunk of items again, with the same
            noise, in the backward pass.
    """

    def __init__(self, mask_pad: bool, in_chunks: bool = False):
        super().__init__()
        self.mask_pad, self.in_chunks = mask_pad, in_chunks

    def forward(self, model, batch) -> Tensor:
        """Return the loss of a ``PackedBatch`` or of RecBole's padded rows."""
        items, targets_M = model.inputs_and_targets(batch)
        item_vectors = model.encode_shared_items(recomputes=self.in_chunks)
        states_MD = model.predicting_states(item_vectors, items, batch)
        limit = CHUNK_LOGITS if self.in_chunks else None
        evidence = model.evidence_of(batch)
        queries_MD, candidates_ND = model.queries(states_MD), model.candidates(item_vectors)
        loss = catalogue_cross_entropy(queries_MD, candidates_ND, targets_M, self.mask_pad, limit, evidence)
        return model.ranks.part_of_mean(loss, len(targets_M))


class SampledSoftmaxObjective(nn.Module):
    """Estimate of that cross-entropy from the batch's targets and uniformly drawn items; only these are encoded.

    Args:
        mask_pad: whether to leave the padding item out.
        sampled_items: number of items drawn per step.
        target_counts: [N] how often each item is a target in an epoch.
    """

    def __init__(self, mask_pad: bool, sampled_items: int, target_counts: Tensor):
        super().__init__()
        self.mask_pad = mask_pad
        self.sampled_items = min(sampled_items, len(target_counts) - 1)
        self.train_targets = int(target_counts.sum())
        self.register_buffer("target_counts", target_counts, persistent=False)

    def forward(self, model, batch) -> Tensor:
        """Return the loss of a ``PackedBatch`` or of RecBole's padded rows."""
        items, targets_M = model.inputs_and_targets(batch)
        # The targets of all processes are the candidates of each.
        candidates_C, inclusion_C = self.draw_candidates(model.ranks.gather(targets_M), model.ranks)
        ids = torch.cat([model.ranks.gather(items.flatten()), candidates_C]).unique()
        item_vectors = model.encode_shared_items(ids)
        states_MD = model.predicting_states(item_vectors, torch.searchsorted(ids, items), batch)
        loss = sampled_cross_entropy(
            model.queries(states_MD),
            model.candidates(F.embedding(torch.searchsorted(ids, candidates_C), item_vectors)),
            torch.searchsorted(candidates_C, targets_M),
            inclusion_C,
            model.evidence_of(batch, partial(columns_of, candidates_C, len(self.target_counts))),
        )
        return model.ranks.part_of_mean(loss, len(targets_M))

    def draw_candidates(self, targets_M: Tensor, ranks: Ranks = ALONE) -> tuple[Tensor, Tensor]:
        """Return the candidates [C], namely targets, drawn items and PAD unless masked, and their probabilities [C].

        Args:
            targets_M: the targets of the whole batch.
            ranks: the processes that train together; all draw the same items.
        """
        real_items = len(self.target_counts) - 1
        drawn = 1 + ranks.of_first(draw_without_replacement(real_items, self.sampled_items, targets_M.device))
        pad = targets_M.new_zeros(0 if self.mask_pad else 1)
        ids_C = torch.cat([pad, targets_M, drawn]).unique()
        counts_C = self.target_counts.index_select(0, ids_C)
        batch_share = len(targets_M) / self.train_targets
        inclusion_C = inclusion_probability(counts_C, batch_share, self.sampled_items / real_items)
        return ids_C, torch.where(ids_C == 0, 1.0, inclusion_C)


def draw_without_replacement(count: int, sample: int, device: torch.device) -> Tensor:
    """Return ``sample`` different numbers below ``count``, every set of them equally likely.

    Of many numbers the time and memory depend on the sample alone: numbers are drawn until enough are different, of
    which a random part is taken. What draws have in common does not say which numbers these are.
    """
    if count <= MOST_PERMUTED or 4 * sample > count:
        return torch.randperm(count, device=device)[:sample]
    # At most a quarter of the numbers, so that a sample and a half has enough different ones almost always.
    different = torch.empty(0, dtype=torch.int64, device=device)
    while len(different) < sample:
        drawn = torch.randint(count, (sample + sample // 2,), device=device)
        different = torch.cat([different, drawn]).unique()
    return different[torch.randperm(len(different), device=device)[:sample]]


def columns_of(candidates_C: Tensor, item_num: int) -> Columns:
    """Return where the candidates [C] are in the logits, for ``item_num`` items."""
    of_item = candidates_C.new_full((item_num,), -1)
    of_item[candidates_C] = torch.arange(len(candidates_C), device=candidates_C.device)
    return Columns(len(candidates_C), of_item)


def make_objective(config, dataset) -> nn.Module:
    """Return the objective that the setting ``loss`` names, for the training part of a dataset."""
    item_num = dataset.num(config["ITEM_ID_FIELD"])
    if config["loss"] == "sampled":
        return SampledSoftmaxObjective(config["mask_pad"], config["sampled_items"], dataset.target_counts())
    if config["loss"] == "full" and item_num * config["train_batch_size"] > MANY_LOGITS:
        logger.warning(
            "loss=full holds %d x %d logits at once; loss=chunked gives the same loss in less memory, "
            "loss=sampled gives an estimate in less time",
            config["train_batch_size"],
            item_num,
        )
    return SoftmaxObjective(config["mask_pad"], in_chunks=config["loss"] == "chunked")
