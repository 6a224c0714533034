"""Matrices in int8 that are multiplied in int8 on a CPU, by torch's dynamic quantisation.

Inputs are rounded too, batch by batch. torch calls this part of it deprecated, so that a later torch may lack it.

Legend: O outputs, I inputs.
"""

import warnings

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.layers.replace import place
from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import WEIGHT_BITS, Method


class FastInt8Linear(MergeableLinear, nn.Module):
    """Linear layer with a weight of 8 bits and one scale, multiplied by torch's kernels for quantised numbers.

    Args:
        codes_OI: weight as whole numbers of 8 bits.
        scale: what they are multiplied by, a tensor without dimensions.
        bias: bias (out), or None.
    """

    def __init__(self, codes_OI: Tensor, scale: Tensor, bias: Tensor | None):
        super().__init__()
        self.out_features, self.in_features = codes_OI.shape
        self.register_buffer("codes", codes_OI)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)
        with warnings.catch_warnings():
            # That quantised tensors are deprecated.
            warnings.simplefilter("ignore")
            quantised = torch._make_per_tensor_quantized_tensor(codes_OI, float(scale), 0)
            self.packed = torch.ops.quantized.linear_prepack(quantised, bias)

    def merged_weight(self) -> Tensor:
        """Return the weight (out, in) in float32."""
        return self.codes.float() * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x W^T + bias`` (..., out) of ``x`` (..., in), rounded to 8 bits before the product."""
        # Inputs of 7 bits: sums of products of 8 bits overflow on processors without instructions for them.
        return torch.ops.quantized.linear_dynamic(x, self.packed, reduce_range=True)


@torch.no_grad()
def fast_int8(model: nn.Module, strength: None, context: Context) -> nn.Module:
    """Replace the matrices of adaptor and Transformer by quantised ones; return the model.

    Queries, keys and values are computed in one product of float32, from the rounded weights, as are item vectors.

    Args:
        model: the model with dense or low-rank layers, changed in place.
        strength: none.
        context: gets how many matrices were replaced.

    Raises:
        DependencyError: this torch cannot do it.
        ConfigError: the model has no matrix to quantise.
    """
    layers = {
        f"{name}.{key}".rstrip("."): part
        for name, layer in matrices(model).items()
        for key, part in layer.named_modules()
        if isinstance(part, nn.Linear)
    }
    if not layers:
        raise ConfigError("method int8-fast found no matrix to quantise: MPO cores are multiplied in float32")
    for name, layer in layers.items():
        place(model, name, _quantised(layer))
    context.notes["int8-fast"] = {"matrices": len(layers)}
    return model


def _quantised(layer: nn.Linear) -> FastInt8Linear:
    scale = (layer.weight.abs().amax() / 127).clamp_min(1e-12)
    codes = (layer.weight / scale).round().to(torch.int8)
    bias = None if layer.bias is None else layer.bias.detach().clone()
    try:
        return FastInt8Linear(codes, scale, bias)
    except (AttributeError, RuntimeError) as problem:
        raise DependencyError(
            f"int8-fast needs torch's quantised kernels for the CPU, which this torch has not ({problem}); choose int8"
        ) from problem


INT8_FAST = Method(
    "int8-fast", WEIGHT_BITS, fast_int8, "", "int8 with a float32 scale per matrix; products of attention's output and "
    "of the feed-forward parts in int8"
)  # fmt: skip
