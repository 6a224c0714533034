"""A linear layer whose weight is a product of two thin matrices.

Legend: W (out, in) is about ``outer @ inner`` with outer (out, r) and inner (r, in).
"""

import torch
from torch import Tensor, nn

from recbole_mpo.layers.mergeable import MergeableLinear


def largest_saving_rank(in_features: int, out_features: int) -> int:
    """Return the largest rank r at which r (in + out) entries are fewer than in * out; 0 if there is none."""
    return (in_features * out_features - 1) // (in_features + out_features)


class LowRankLinear(MergeableLinear, nn.Module):
    """Linear layer ``y = outer(inner(x))``, two linear layers of which the second has the bias.

    Args:
        inner: layer (r, in) without bias, an ``nn.Linear`` or a ``MergeableLinear``.
        outer: layer (out, r).
    """

    def __init__(self, inner: nn.Module, outer: nn.Module):
        super().__init__()
        self.inner, self.outer = inner, outer
        self.in_features, self.out_features = inner.in_features, outer.out_features

    @classmethod
    @torch.no_grad()
    def from_linear(cls, linear: nn.Linear, rank: int) -> "LowRankLinear":
        """Return the layer of this rank that is nearest to ``linear``, by the truncated SVD of its weight.

        The error's Frobenius norm is the root of the sum of the squares of the singular values left out (Eckart and
        Young, "The approximation of one matrix by another of lower rank", Psychometrika 1, 1936).

        Args:
            linear: the layer to replace.
            rank: r, from 1 to the smaller side of the weight.

        Raises:
            ValueError: the rank does not fit.
        """
        weight = linear.weight
        if not 1 <= rank <= min(weight.shape):
            raise ValueError(f"rank must be between 1 and {min(weight.shape)}, not {rank}")
        U, S, Vh = torch.linalg.svd(weight.double(), full_matrices=False)
        root = S[:rank].sqrt()
        inner = _linear((root.unsqueeze(1) * Vh[:rank]).to(weight), None, weight.requires_grad)
        outer = _linear((U[:, :rank] * root).to(weight), linear.bias, weight.requires_grad)
        return cls(inner, outer).train(linear.training)

    @property
    def bias(self) -> nn.Parameter | None:
        """Bias (out)."""
        return self.outer.bias

    def merged_weight(self) -> Tensor:
        """Return W (out, in), differentiable."""
        return _whole(self.outer) @ _whole(self.inner)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x W^T + bias`` (..., out) of ``x`` (..., in)."""
        return self.outer(self.inner(x))


def _whole(layer: nn.Module) -> Tensor:
    return layer.merged_weight() if isinstance(layer, MergeableLinear) else layer.weight


def _linear(weight: Tensor, bias: nn.Parameter | None, is_trained: bool) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.contiguous(), requires_grad=is_trained)
    if bias is not None:
        linear.bias = bias
    return linear
