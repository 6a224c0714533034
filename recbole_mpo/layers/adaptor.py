"""Text features to item vectors: UniSRec's mixture-of-experts adaptor.

Hou et al., "Towards Universal Sequence Representation Learning for Recommender Systems", KDD 2022, eq. 2-4.

Shapes: N items (rows), F feature, D hidden, E experts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbole_mpo.layers.cpu_kernels import Dropout, dropout, pad_rows
from recbole_mpo.layers.stacked import merge_stacked


class WhiteningExpert(nn.Module):
    """Parametric whitening ``(dropout(x) - b) W`` (eq. 2).

    ``lin`` is dense at first; conversion may replace it by an MPO or LoRA layer.
    """

    def __init__(self, feature_size: int, hidden_size: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(feature_size))
        self.lin = nn.Linear(feature_size, hidden_size, bias=False)

    def forward(self, features_NF: Tensor) -> Tensor:
        """Return item vectors [N, D] in the published, unfolded form: the reference for the folded one."""
        return self.lin(self.dropout(features_NF) - self.bias)


class MoEAdaptor(nn.Module):
    """Gate-weighted sum of whitening experts (eq. 3-4), computed for all experts at once.

    The whitening bias is folded, ``(dropout(x) - b) W = dropout(x) W - b W``. So the frozen features need no gradient,
    and an expert's weight is merged once per call, whatever the number of items.

    Args:
        feature_size: number of features per item, F.
        hidden_size: size of an item vector, D.
        num_experts: number of experts, E.
        dropout: probability of dropping a feature; each expert draws its own mask, as in UniSRec.
        noisy: whether to add learned Gaussian noise to the gate's logits in training.

    Source: Hou et al., "Towards Universal Sequence Representation Learning for Recommender Systems", KDD 2022.
    """

    NOISE_FLOOR = 1e-2

    def __init__(
        self, feature_size: int, hidden_size: int, num_experts: int = 8, dropout: float = 0.2, noisy: bool = True
    ):
        super().__init__()
        self.dropout = dropout
        self.noisy = noisy
        self.experts = nn.ModuleList(WhiteningExpert(feature_size, hidden_size, dropout) for _ in range(num_experts))
        self.w_gate = nn.Parameter(torch.zeros(feature_size, num_experts))
        self.w_noise = nn.Parameter(torch.zeros(feature_size, num_experts))

    def gates(self, features_NF: Tensor) -> Tensor:
        """Return the weights of the experts [N, E] for features [N, F]; each row sums to one."""
        # The choice between experts needs full precision, which costs almost no time.
        with torch.autocast(features_NF.device.type, enabled=False):
            if not (self.noisy and self.training):
                return (features_NF @ self.w_gate).softmax(dim=-1)
            logits_NE, noise_NE = (features_NF @ torch.cat([self.w_gate, self.w_noise], dim=1)).chunk(2, dim=-1)
            spread_NE = F.softplus(noise_NE) + self.NOISE_FLOOR
            return (logits_NE + torch.randn_like(spread_NE) * spread_NE).softmax(dim=-1)

    def merge(self) -> tuple[Tensor, Tensor]:
        """Return the experts' weights [E, D, F] and biases [E, F], to be shared by the calls of one step."""
        weight_EDF = merge_stacked([expert.lin for expert in self.experts])
        return weight_EDF, torch.stack([expert.bias for expert in self.experts])

    def forward(self, features_NF: Tensor, merged: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return item vectors [N, D].

        Args:
            features_NF: text features of the items.
            merged: result of ``merge``; computed here when left out.
        """
        weight_EDF, bias_EF = merged or self.merge()
        weight_EDF = weight_EDF.to(features_NF.dtype)
        gates_NE = self.gates(features_NF)
        shift_ED = torch.bmm(weight_EDF, bias_EF.unsqueeze(-1)).squeeze(-1)
        mixed_ND = self._mix(features_NF, weight_EDF, gates_NE)
        return mixed_ND - gates_NE @ shift_ED

    def _mix(self, features_NF: Tensor, weight_EDF: Tensor, gates_NE: Tensor) -> Tensor:
        if self.training and self.dropout > 0:
            mixed = _GatedExperts.apply(features_NF, pad_rows(weight_EDF), gates_NE, self.dropout)
            return mixed[:, : weight_EDF.shape[1]]
        # Without dropout all experts see the same rows, so one matrix product is enough.
        projected_NED = (features_NF @ weight_EDF.flatten(0, 1).t()).unflatten(1, weight_EDF.shape[:2])
        return torch.bmm(gates_NE.unsqueeze(1), projected_NED).squeeze(1)

    def forward_unfolded(self, features_NF: Tensor) -> Tensor:
        """Return item vectors [N, D] in the published form, expert by expert: the slow reference for ``forward``."""
        gates_NE = self.gates(features_NF)
        outputs_NED = torch.stack([expert(features_NF) for expert in self.experts], dim=-2)
        return (gates_NE.unsqueeze(-1) * outputs_NED).sum(dim=-2)


class _GatedExperts(torch.autograd.Function):
    """``sum_e gates[:, e] * (dropout_e(features) @ weight[e].T)``, one expert after another.

    A batched product over all experts writes and reads arrays of E * N * F entries, too large for any cache. Using each
    expert's part as soon as it is computed takes a third less time. Features get no gradient: they are frozen.
    """

    @staticmethod
    def forward(ctx, features_NF, weight_EDF, gates_NE, rate):
        dtype = autocast_dtype(features_NF)
        features_NF, weight_EDF = features_NF.to(dtype), weight_EDF.to(dtype)
        mixed_ND = gates_NE.new_zeros(len(features_NF), weight_EDF.shape[1])
        dropped, projected = [], []
        with torch.autocast(features_NF.device.type, enabled=False):
            for weight_DF, gates_N in zip(weight_EDF, gates_NE.unbind(dim=1), strict=True):
                dropped.append(dropout(features_NF, rate))
                projected.append(dropped[-1] @ weight_DF.t())
                mixed_ND.addcmul_(projected[-1], gates_N.unsqueeze(1))
        ctx.save_for_backward(gates_NE, *dropped, *projected)
        return mixed_ND

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient_ND):
        gates_NE, *saved = ctx.saved_tensors
        experts = len(saved) // 2
        weight_gradient, gates_gradient = [], torch.empty_like(gates_NE)
        scratch_ND = torch.empty_like(gradient_ND)
        for expert, (dropped_NF, projected_ND) in enumerate(zip(saved[:experts], saved[experts:], strict=True)):
            gates_gradient[:, expert] = torch.mul(gradient_ND, projected_ND, out=scratch_ND).sum(dim=1)
            torch.mul(gradient_ND, gates_NE[:, expert, None], out=scratch_ND)
            weight_gradient.append(scratch_ND.to(dropped_NF.dtype).t() @ dropped_NF)
        return None, torch.stack(weight_gradient), gates_gradient, None


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return the type in which autocast would multiply ``x``; without autocast, the type of ``x``."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
