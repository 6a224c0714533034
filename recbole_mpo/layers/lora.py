"""Low-rank adaptation: a frozen linear layer plus a trained product of two thin matrices.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3: ``W = W0 + (alpha / r) B A``.

Legend: W0 (out, in) is frozen; A (r, in) is drawn from He's uniform distribution; B (out, r) starts at zero.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.layers.mpo.factors import auxiliary_count, check_has_centre, choose_factors
from recbole_mpo.layers.replace import matching_linears, place


class LoRALinear(MergeableLinear, nn.Linear):
    """``nn.Linear`` with a frozen ``weight`` W0 and a trained low-rank update ``lora_B @ lora_A``.

    The parameters of the linear layer keep their names, so a dense checkpoint loads into it. At first the layer
    computes the same as ``linear``.

    Args:
        linear: layer whose parameters are used.
        rank: rank of the update, r.
        alpha: the update is multiplied by ``alpha / rank``; r when left out.

    Raises:
        ValueError: ``rank`` is below 1 or above the smaller side of the weight.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float | None = None):
        if not 1 <= rank <= min(linear.weight.shape):
            raise ValueError(f"rank must be between 1 and {min(linear.weight.shape)}, not {rank}")
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.weight.requires_grad_(False)
        self.scale = (rank if alpha is None else alpha) / rank
        self.lora_A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.lora_B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def merged_weight(self) -> Tensor:
        """Return W (out, in), differentiable with respect to A and B."""
        return torch.addmm(self.weight, self.lora_B, self.lora_A, alpha=self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x W^T + bias`` (..., out) of ``x`` (..., in)."""
        return F.linear(x, self.merged_weight(), self.bias)

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        keys = [prefix + name for name in ("lora_A", "lora_B")]
        if prefix + "weight" in state_dict and not any(key in state_dict for key in keys):
            state_dict[keys[0]], state_dict[keys[1]] = self.lora_A.detach(), torch.zeros_like(self.lora_B)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def convert_to_lora(
    model: nn.Module,
    target_modules: str | Sequence[str],
    rank: int | None = None,
    alpha: float | None = None,
    num_cores: int = 5,
) -> nn.Module:
    """Replace the matching ``nn.Linear`` layers of a model by ``LoRALinear`` layers, in place; return the model.

    Args:
        model: the model, changed in place.
        target_modules: names of layers or their dotted endings, patterns such as ``moe_adaptor.experts.*.lin``, or
            ``all-linear``.
        rank: rank of each layer. When left out, each layer gets the rank at which it trains about as many parameters
            as MPORecLight does: all of ``num_cores`` cores but the central one.
        alpha: the update is multiplied by ``alpha / rank``; the rank when left out.
        num_cores: number of MPO cores to compare with; used only without ``rank``.

    Returns:
        The model.

    Raises:
        ValueError: no layer matches, the rank does not fit a layer, or ``num_cores`` is even.
    """
    for name, linear in matching_linears(model, target_modules).items():
        place(model, name, LoRALinear(linear, matched_rank(linear, num_cores) if rank is None else rank, alpha))
    return model


def matched_rank(linear: nn.Linear, num_cores: int = 5) -> int:
    """Return the rank at which LoRA trains as many parameters as MPO without its central core.

    Raises:
        ValueError: ``num_cores`` is even.
    """
    check_has_centre(num_cores)
    auxiliary = auxiliary_count(*choose_factors(linear.in_features, linear.out_features, num_cores))
    return max(1, round(auxiliary / (linear.in_features + linear.out_features)))
