"""What the methods of one compression share: how tensors are stored, which entries stay zero, and further training.

Legend: a name is the dotted path of a layer or tensor in the model.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.release.compress.stored_forms import Form

# Layers that are made smaller: matrices of the adaptor's experts and of the Transformer.
COMPRESSED_PARTS = ("moe_adaptor.experts.", "trm_encoder.")


@dataclass
class Context:
    """What is known of one compressed model while methods change it.

    Attributes:
        forms: tensors by name that are not stored as they are; the model holds what they decode to.
        masks: booleans by name of the weights in which some entries stay zero.
        notes: what a method reports, by method.
        seed: of the clustering of item vectors.
        train: trains the model further, for a number of epochs, with these masks; None without training. It takes the
            model, the context, the number of epochs, and a test of the names of parameters to train (all when left
            out).
        score: returns the quality on the valid part, by which training is judged; None without data.
        epochs: epochs of further training.
        penalty: factor of the L1 norm in further training.
        largest_drop: share of the quality on the valid part that squeezing may lose.
    """

    forms: dict[str, Form] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, dict] = field(default_factory=dict)
    seed: int = 2020
    train: Callable | None = None
    score: Callable[[nn.Module], float] | None = None
    epochs: int = 0
    penalty: float = 0.0
    largest_drop: float = 0.05


def matrices(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose matrices are compressed, by name: dense ones, or what has taken their places."""
    layers = {}
    for name, module in model.named_modules():
        is_linear = isinstance(module, nn.Linear | MergeableLinear) and name.startswith(COMPRESSED_PARTS)
        # The two halves of a product are parts of one layer.
        if is_linear and not any(name.startswith(f"{outer}.") for outer in layers):
            layers[name] = module
    return layers


def weight_of(layer: nn.Module) -> Tensor:
    """Return the whole weight (out, in) of a layer."""
    return layer.merged_weight() if isinstance(layer, MergeableLinear) else layer.weight
