"""Adapt a pre-trained text model to another dataset by patches in its Transformer, with most weights frozen."""

from functools import partial

from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.initialisation import normal_weights
from recbole_mpo.layers.patched_linear import convert_to_patched
from recbole_mpo.model.abstract_recommender import ITEM_TABLES
from recbole_mpo.model.parameters import PATCH_PART

# The last matrices of attention and feed-forward: patches come before dropout, residual connection and norm.
PATCHED_LAYERS = ("multi_head_attention.dense", "feed_forward.dense_2")
# What else is trained: the adaptor's gate, and what pre-training does not have.
TRAINED_WITH_PATCHES = ("moe_adaptor.w_gate", "moe_adaptor.w_noise", "cross_task.", *ITEM_TABLES)


def add_patches(model: nn.Module, reduction: int, std: float):
    """Put patches behind attention and feed-forward of each Transformer layer; freeze all that they adapt.

    Trained are patches, layer norms, the adaptor's gate, a connection of tasks, and what belongs to the dataset, such
    as a table of ids.

    Args:
        model: a text model with a Transformer, changed in place.
        reduction: hidden size divided by the width of a patch.
        std: standard deviation of the first matrices; the second ones start at zero, so the model computes the same.

    Raises:
        ConfigError: ``reduction`` is larger than the hidden size.
    """
    hidden_size = model.LayerNorm.normalized_shape[0]
    if reduction > hidden_size:
        raise ConfigError(f"patch_reduction {reduction} is larger than hidden_size {hidden_size}")
    for patch in convert_to_patched(model, PATCHED_LAYERS, hidden_size // reduction):
        patch.apply(partial(normal_weights, std=std))
    for name, parameter in model.named_parameters():
        is_trained = PATCH_PART in name or "LayerNorm." in name or name.startswith(TRAINED_WITH_PATCHES)
        parameter.requires_grad_(is_trained)
