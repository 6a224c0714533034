"""S3-Rec: self-supervised pre-training on attributes, items and segments, then SASRec.

Zhou et al., "S3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual Information Maximization",
CIKM 2020. docs/models.md says how this differs from RecBole's class and from the published code.

Shapes: B rows, L length, D hidden, N items, F attributes, P positions.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.attribute_dataset import load_item_attributes
from recbole_mpo.data.batches import HistoryBatch
from recbole_mpo.layers.initialisation import normal_weights
from recbole_mpo.model.baselines.masking import draw_masks
from recbole_mpo.model.baselines.sasrec import SASRecCE

OBJECTIVES = ("aap", "mip", "map", "sp")
# Largest number of draws of a negative item; after that it is used even if the history has it.
MOST_DRAWS = 100


class S3RecFixed(SASRecCE):
    """S3-Rec with its four objectives on whole histories, and then SASRec's loss.

    The encoder is the same in both stages: without its causal mask in pre-training, with it in fine-tuning. Items have
    the same positions in both.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: ``mask_ratio`` is not between 0 and 1.
    """

    needs_packed = True
    # Attributes come from the item text.
    is_built_from_items = False
    item_inputs = ("id",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.pretrain_epochs = config["pretrain_epochs"]
        self.pretrain_batch_size = config["pretrain_batch_size"]
        self.mask_ratio = config["mask_ratio"]
        self.objective_weights = {name: config[f"{name}_weight"] for name in OBJECTIVES}
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(f"mask_ratio must be between 0 and 1, both excluded, not {self.mask_ratio}")
        names, table = load_item_attributes(config, dataset.field2id_token[dataset.iid_field])
        self.attribute_names = names
        self.register_buffer("attributes", torch.from_numpy(table.toarray()), persistent=False)
        # With these log odds the head learns which items have an attribute from the first epoch on. Without them it
        # first learns that attributes are rare, which takes forty epochs on Scientific.
        share_F = self.attributes[1:].float().mean(dim=0)
        self.register_buffer("attribute_log_odds", share_F.logit(), persistent=False)
        hidden, std = config["hidden_size"], config["initializer_range"]
        self.attribute_embedding = nn.Embedding(len(names), hidden)
        self.mask_embedding = nn.Parameter(torch.empty(hidden).normal_(std=std))
        self.heads = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in OBJECTIVES})
        for module in (self.attribute_embedding, self.heads):
            module.apply(partial(normal_weights, std=std))

    def pretraining_loss(self, batch: HistoryBatch) -> Tensor:
        """Return the weighted sum of the objectives of a batch, each a mean over its predictions."""
        losses: dict[str, list[tuple[Tensor, int]]] = {name: [] for name in OBJECTIVES}
        for items_BL in batch.groups:
            for name, loss, count in self._group_losses(items_BL):
                losses[name].append((loss, count))
        total = self.mask_embedding.new_zeros(())
        for name, parts in losses.items():
            count = sum(part for _, part in parts)
            if count:
                total = total + self.objective_weights[name] * sum(loss for loss, _ in parts) / count
        return total

    def _group_losses(self, items_BL: Tensor):
        """Yield each objective's name, the sum of its losses and their number, for histories of one width."""
        lengths_B1 = (items_BL != 0).sum(dim=1, keepdim=True)
        is_last = torch.arange(items_BL.shape[1], device=items_BL.device) == lengths_B1 - 1
        masked = draw_masks(items_BL, self.mask_ratio, 0.0) | is_last
        states_BLD = self.encode_both_ways(items_BL, masked)
        seen = (items_BL != 0) & ~masked
        yield "aap", *self._attribute_loss("aap", states_BLD[seen], items_BL[seen])
        yield "map", *self._attribute_loss("map", states_BLD[masked], items_BL[masked])
        rows_P = masked.nonzero()[:, 0]
        others_P = items_not_in(items_BL, rows_P, self.n_items)
        yield "mip", *self._item_loss(states_BLD[masked], items_BL[masked], others_P)
        if self.objective_weights["sp"] > 0:
            yield "sp", *self._segment_loss(items_BL, lengths_B1)

    def _attribute_loss(self, name: str, states_PD: Tensor, items_P: Tensor) -> tuple[Tensor, int]:
        logits_PF = self.heads[name](states_PD) @ self.attribute_embedding.weight.t() + self.attribute_log_odds
        labels_PF = self.attributes[items_P].to(logits_PF.dtype)
        # Summed over attributes as in the published code, on which the weights of the objectives depend.
        return F.binary_cross_entropy_with_logits(logits_PF, labels_PF, reduction="sum"), len(items_P)

    def _item_loss(self, states_PD: Tensor, items_P: Tensor, others_P: Tensor) -> tuple[Tensor, int]:
        queries_PD = self.heads["mip"](states_PD)
        table = self.item_embedding.weight
        right, wrong = ((queries_PD * F.embedding(items, table)).sum(dim=1) for items in (items_P, others_P))
        return _ranking_loss(right, wrong), len(items_P)

    def _segment_loss(self, items_BL: Tensor, lengths_B1: Tensor) -> tuple[Tensor, int]:
        long_enough = lengths_B1.squeeze(1) >= 2
        if not long_enough.any():
            return items_BL.new_zeros((), dtype=torch.float32), 0
        items_BL, lengths_B1 = items_BL[long_enough], lengths_B1[long_enough]
        inside = draw_segments(items_BL, lengths_B1)
        foreign_BL = foreign_items(items_BL, inside)
        real = items_BL != 0
        last_B = lengths_B1.squeeze(1) - 1
        context, own, other = (
            self.encode_both_ways(items, masked)[torch.arange(len(items), device=items.device), last_B]
            for items, masked in ((items_BL, inside), (items_BL, real & ~inside), (foreign_BL, real & ~inside))
        )
        queries_BD = self.heads["sp"](context)
        return _ranking_loss((queries_BD * own).sum(dim=1), (queries_BD * other).sum(dim=1)), len(items_BL)

    def encode_both_ways(self, items_BL: Tensor, masked_BL: Tensor) -> Tensor:
        """Return the states [B, L, D] of histories; each position sees all items, masked or not.

        Args:
            items_BL: ids, padded with 0 on the right.
            masked_BL: which items are replaced by the mask.
        """
        vectors_BLD = F.embedding(items_BL, self.item_embedding.weight)
        vectors_BLD = torch.where(masked_BL.unsqueeze(2), self.mask_embedding, vectors_BLD)
        return self.sequence.states_from_both_sides(vectors_BLD, items_BL == 0)


def _ranking_loss(right: Tensor, wrong: Tensor) -> Tensor:
    """Return the sum of ``-log sigmoid(sigmoid(right) - sigmoid(wrong))``, squashed twice as in the published code."""
    return -F.logsigmoid(torch.sigmoid(right) - torch.sigmoid(wrong)).sum()


def items_not_in(items_BL: Tensor, rows_P: Tensor, item_num: int) -> Tensor:
    """Return a random item [P] for each row number, one that the row does not have unless it has nearly all items."""
    drawn = torch.randint(1, item_num, rows_P.shape, device=items_BL.device)
    for _ in range(MOST_DRAWS):
        taken = (items_BL[rows_P] == drawn.unsqueeze(1)).any(dim=1)
        if not taken.any():
            break
        drawn = torch.where(taken, torch.randint_like(drawn, 1, item_num), drawn)
    return drawn


def draw_segments(items_BL: Tensor, lengths_B1: Tensor) -> Tensor:
    """Return which items [B, L] are in a random segment of each row; a segment is at most half of the row."""
    size_B1 = 1 + (torch.rand_like(lengths_B1, dtype=torch.float32) * (lengths_B1 // 2)).long()
    begin_B1 = (torch.rand_like(lengths_B1, dtype=torch.float32) * (lengths_B1 - size_B1 + 1)).long()
    column = torch.arange(items_BL.shape[1], device=items_BL.device)
    return (column >= begin_B1) & (column < begin_B1 + size_B1)


def foreign_items(items_BL: Tensor, inside_BL: Tensor) -> Tensor:
    """Return the rows with other segments of the same sizes in the marked places.

    These segments come from all rows, joined one after another.
    """
    flat = items_BL[items_BL != 0]
    begin_B1 = torch.randint(len(flat), (len(items_BL), 1), device=items_BL.device)
    within = inside_BL.long().cumsum(dim=1) - 1
    return torch.where(inside_BL, flat[(begin_B1 + within) % len(flat)], items_BL)
