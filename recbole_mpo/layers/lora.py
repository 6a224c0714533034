"""Low-rank adaptation: a frozen linear layer plus a trained product of two thin matrices.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3: ``W = W0 + (alpha / r) B A``.

Legend: W0 (out, in) frozen; A (r, in) from He's uniform distribution, B (out, r) zero.
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
    """``nn.Linear`` under its own parameter names, with ``lora_A`` and ``lora_B`` beside them; W0 is frozen.

    It starts as the layer it is made of, and a dense checkpoint loads into it.

    Args:
        linear: whose parameters it takes over.
        rank: r.
        alpha: r when left out, so that the product counts once.

    Raises:
        ValueError: a rank below 1 or beyond the smaller side.
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
        """Return W (out, in), differentiable by A and B."""
        return torch.addmm(self.weight, self.lora_B, self.lora_A, alpha=self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
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
    """Replace the model's matching ``nn.Linear`` layers by :class:`LoRALinear`, in place; return it.

    Args:
        target_modules: as :func:`~recbole_mpo.layers.replace.matching_linears` takes them.
        rank: of each layer; when left out the one whose parameters come nearest to those that MPORecLight trains
            (all cores but the central one, of ``num_cores``).
        alpha: scale of the product, times the rank.

    Raises:
        ValueError: nothing matches, or the rank does not fit.
    """
    for name, linear in matching_linears(model, target_modules).items():
        place(model, name, LoRALinear(linear, matched_rank(linear, num_cores) if rank is None else rank, alpha))
    return model


def matched_rank(linear: nn.Linear, num_cores: int = 5) -> int:
    """Return the rank at which LoRA trains as many parameters as MPO without its central core.

    Raises:
        ValueError: an even number of cores.
    """
    check_has_centre(num_cores)
    auxiliary = auxiliary_count(*choose_factors(linear.in_features, linear.out_features, num_cores))
    return max(1, round(auxiliary / (linear.in_features + linear.out_features)))
