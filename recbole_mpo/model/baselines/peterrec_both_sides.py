"""PeterRec's network pre-trained on masked items: states see both sides of a history.

Yuan et al., "Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation", SIGIR 2020,
with the masks and centred convolutions of Yuan et al., "Future Data Helps Training: Modeling Future Contexts for
Session-based Recommendation" (GRec), WWW 2020.

What is after a prefix would tell its target, so each prefix is a run of its own, while a causal network needs one pass
for all prefixes of a history.

Shapes: D hidden, R rows of a packed batch, L length of a row, M targets, W prefixes, S states of runs that stand one
after another.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.batches import PackedBatch
from recbole_mpo.layers.convolution import Neighbours
from recbole_mpo.model.baselines.masking import draw_masks
from recbole_mpo.model.baselines.peterrec_network import Adaptation, network_of

# How many states are computed at once; of more, each part is computed again in the backward pass.
MOST_STATES = 1 << 15


@dataclass(frozen=True)
class MaskedBatch(PackedBatch):
    """Whole histories, one after another in a single row; the items at ``predicting`` are hidden, and the targets."""


class Prefixes:
    """Prefixes of packed histories as runs that stand one after another, with room for tokens around the items.

    Args:
        positions_RL: position of each place within its history.
        ends_W: place of the last item of each prefix.
        before, behind: number of tokens before and behind the items of a run.

    Attributes:
        lengths_W: number of states of each run.
        firsts_W, lasts_W: its first and last state.
        runs_S: the run of each state.
        positions_S: position of each state among the items of its run; tokens are outside of them.
        places_S: the place of each state's item; that of a token is any place.
        is_item_S: which states are not tokens.
    """

    def __init__(self, positions_RL: Tensor, ends_W: Tensor, before: int, behind: int):
        items_W = positions_RL.flatten().index_select(0, ends_W) + 1
        self.lengths_W = items_W + before + behind
        self.lasts_W = self.lengths_W.cumsum(dim=0) - 1
        self.firsts_W = self.lasts_W - self.lengths_W + 1
        self.runs_S = torch.arange(len(ends_W), device=ends_W.device).repeat_interleave(self.lengths_W)
        states_S = torch.arange(len(self.runs_S), device=ends_W.device)
        self.positions_S = states_S - self.firsts_W[self.runs_S] - before
        self.is_item_S = (self.positions_S >= 0) & (self.positions_S < items_W[self.runs_S])
        places_S = (ends_W - items_W + 1)[self.runs_S] + self.positions_S
        self.places_S = places_S.clamp(0, positions_RL.numel() - 1)


class BothSidesEncoder:
    """NextItNet's blocks with centred convolutions over the first half of the item vectors.

    The state of a prefix is that of a mask behind it, as in pre-training, or the sum of those of a token at both ends.

    Args:
        config: settings of the run.
        adaptation: what the stage adds.

    Attributes:
        modules: the modules that the model registers, by name and in this order.

    Raises:
        ConfigError: ``kernel_size`` is even, or ``patch_reduction`` is larger than ``hidden_size``.
    """

    def __init__(self, config, adaptation: Adaptation):
        if config["kernel_size"] % 2 == 0:
            raise ConfigError(
                f"pretrain_mode=masked needs an odd kernel_size, with a tap in the middle, not {config['kernel_size']}"
            )
        self.hidden_size = config["hidden_size"]
        self.modules: dict[str, nn.Module | nn.Parameter] = network_of(config, adaptation)
        if not adaptation.reads_token:
            vector = torch.empty(self.hidden_size).normal_(std=config["initializer_range"])
            self.modules["mask_vector"] = nn.Parameter(vector)

    def states(
        self,
        item_vectors: Tensor,
        items_RL: Tensor,
        positions_RL: Tensor,
        starts_RL: Tensor | None = None,
        places_W: Tensor | None = None,
    ) -> Tensor:
        """Return the states [W, D] of the prefixes that end at the given places, or [R, L, D] of all.

        The positions are enough to separate histories, so ``starts_RL`` is not used.
        """
        ends_W = torch.arange(items_RL.numel(), device=items_RL.device) if places_W is None else places_W
        parts = ends_W.split(_sizes(positions_RL.flatten().index_select(0, ends_W)))
        arguments = (item_vectors, items_RL.flatten(), positions_RL)
        if len(parts) > 1 and torch.is_grad_enabled():
            states = [checkpoint(self._of_prefixes, *arguments, part, use_reentrant=False) for part in parts]
        else:
            states = [self._of_prefixes(*arguments, part) for part in parts]
        states_WD = torch.cat(states)
        return states_WD.view(*items_RL.shape, -1) if places_W is None else states_WD

    def _of_prefixes(self, item_vectors: Tensor, items_P: Tensor, positions_RL: Tensor, ends_W: Tensor) -> Tensor:
        has_token = "cls_vector" in self.modules
        prefixes = Prefixes(positions_RL, ends_W, before=int(has_token), behind=1)
        items_S = items_P.index_select(0, prefixes.places_S)
        extra = self.modules["cls_vector" if has_token else "mask_vector"]
        states_SD = self._convolved(item_vectors, items_S, prefixes.is_item_S, extra, prefixes.lengths_W)
        last_WD = states_SD.index_select(0, prefixes.lasts_W)
        return last_WD + states_SD.index_select(0, prefixes.firsts_W) if has_token else last_WD

    def masked_states(self, item_vectors: Tensor, items_S: Tensor, positions_S: Tensor, hidden_M: Tensor) -> Tensor:
        """Return the states [M, D] at hidden places, from the items around them.

        Args:
            item_vectors: vectors of items.
            items_S: row numbers of ``item_vectors``, histories one after another.
            positions_S: position of each item within its history.
            hidden_M: places that have the mask's vector in place of the item's.
        """
        begins_B = (positions_S == 0).nonzero().squeeze(1)
        lengths_B = torch.cat([begins_B[1:], begins_B.new_tensor([len(items_S)])]) - begins_B
        is_seen_S = torch.ones_like(items_S, dtype=torch.bool).index_fill(0, hidden_M, False)
        states_SD = self._convolved(item_vectors, items_S, is_seen_S, self.modules["mask_vector"], lengths_B)
        return states_SD.index_select(0, hidden_M)

    def _convolved(self, item_vectors, items_S, is_item_S, extra_D, lengths_B) -> Tensor:
        """Return the states [S, D] of the last block; where no item is seen, the vector ``extra_D`` is."""
        read_SD = F.embedding(items_S, item_vectors[:, : self.hidden_size])
        read_SD = torch.where(is_item_S.unsqueeze(1), read_SD, extra_D)
        return self.modules["convolutions"](read_SD, Neighbours(lengths_B), self.modules.get("patches"))


class MaskedItems(nn.Module):
    """Mean cross-entropy of masked items, each from the items on both sides of it.

    Args:
        objective: the loss of targets, such as a ``SoftmaxObjective``.
        mask_ratio: probability of masking an item; of each history one is masked at least.
    """

    def __init__(self, objective: nn.Module, mask_ratio: float):
        super().__init__()
        self.objective, self.mask_ratio = objective, mask_ratio

    def forward(self, model, batch: PackedBatch) -> Tensor:
        """Return the loss of a batch."""
        return self.objective(model, masked_batch(batch, self.mask_ratio))


def masked_batch(batch: PackedBatch, mask_ratio: float) -> MaskedBatch:
    """Return the histories of a batch, each with its last target, with random items hidden.

    Args:
        batch: histories and the targets after them.
        mask_ratio: probability of masking an item; of each history one is masked at least.
    """
    following = F.pad(batch.positions[:, 1:], (0, 1)).flatten()
    is_last_M = following.index_select(0, batch.predicting) == 0
    runs = Prefixes(batch.positions, batch.predicting[is_last_M], before=0, behind=1)
    targets_S = batch.targets[is_last_M][runs.runs_S]
    items_S = torch.where(runs.is_item_S, batch.items.flatten()[runs.places_S], targets_S)
    longest = int(runs.lengths_W.max()) if len(runs.lengths_W) else 0
    padded_WL = items_S.new_zeros(len(runs.lengths_W), longest)
    padded_WL[runs.runs_S, runs.positions_S] = items_S
    masked_S = draw_masks(padded_WL, mask_ratio, ft_ratio=0.0)[runs.runs_S, runs.positions_S]
    hidden_M = masked_S.nonzero().squeeze(1)
    users_S = batch.users[is_last_M][runs.runs_S]
    positions_RL = runs.positions_S.unsqueeze(0)
    return MaskedBatch(items_S.unsqueeze(0), positions_RL, hidden_M, items_S[hidden_M], users_S[hidden_M])


def _sizes(positions_W: Tensor) -> list[int]:
    """Return how many of the prefixes to compute at a time, so that each part has about ``MOST_STATES`` states."""
    # The items up to a position, and a token at both ends.
    states_W = positions_W + 3
    part_W = torch.div(states_W.cumsum(dim=0), MOST_STATES, rounding_mode="floor")
    return torch.unique_consecutive(part_W, return_counts=True)[1].tolist()
