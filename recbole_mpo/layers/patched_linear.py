"""Patches in a Transformer: small bottlenecks that adapt a frozen network to other data.

Sources: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, section 2.1; Yuan et al.,
"Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation", SIGIR 2020.

Shapes: any leading axes, then the size of a layer's input or output.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.layers.convolution import Patch
from recbole_mpo.layers.replace import matching_linears, place


class PatchedLinear(nn.Linear):
    """``nn.Linear`` followed by a patch: ``y + W_up gelu(W_down y + b) + b'`` with ``y = x W^T + bias``.

    The parameters of the linear layer keep their names, so a dense checkpoint loads into it; the patch then keeps its
    present values. As W_up starts at zero, the layer at first computes the same as ``linear``.

    Args:
        linear: layer whose parameters are used.
        width: size of the bottleneck.

    Raises:
        ValueError: ``width`` is below 1.
    """

    def __init__(self, linear: nn.Linear, width: int):
        if width < 1:
            raise ValueError(f"the width of a patch is at least 1, not {width}")
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.patch = Patch(linear.out_features, width, "serial", starts_at_zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the patched outputs (..., out) of ``x`` (..., in)."""
        return self.patch(x, F.linear(x, self.weight, self.bias))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        present = {f"{prefix}patch.{name}": value for name, value in self.patch.state_dict().items()}
        if prefix + "weight" in state_dict and not present.keys() & state_dict.keys():
            state_dict.update(present)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def convert_to_patched(model: nn.Module, target_modules: str | Sequence[str], width: int) -> list[Patch]:
    """Put a patch behind the matching ``nn.Linear`` layers of a model, in place; return the patches.

    The matrices of the patches have torch's initial values: draw them with ``normal_weights``, which also sets the last
    one to zero.

    Args:
        model: the model, changed in place.
        target_modules: names of layers or their dotted endings, or patterns.
        width: size of the bottlenecks.

    Raises:
        ValueError: no layer matches, or the width is below 1.
    """
    patched = {name: PatchedLinear(linear, width) for name, linear in matching_linears(model, target_modules).items()}
    for name, layer in patched.items():
        place(model, name, layer)
    return [layer.patch for layer in patched.values()]
