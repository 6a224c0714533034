"""Truncated SVD: a matrix becomes the product of two thin ones, where that has fewer entries."""

import torch
from torch import nn

from recbole_mpo.layers.low_rank import LowRankLinear, largest_saving_rank
from recbole_mpo.layers.replace import place
from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import MATRICES, Method


def svd(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Replace each matrix by a product of the largest rank that saves this share of its entries; return the model.

    Args:
        model: the model with dense layers, changed in place.
        share: share of the entries of each matrix that is saved.
        context: gets the ranks.
    """

    def rank(layer: nn.Linear) -> int:
        entries = layer.in_features * layer.out_features
        return max(1, int((1 - share) * entries) // (layer.in_features + layer.out_features))

    return _replace(model, rank, context)


@torch.no_grad()
def svd_energy(model: nn.Module, lost: float, context: Context) -> nn.Module:
    """Replace each matrix by a product of the smallest rank that loses at most this share of its energy.

    Args:
        model: the model with dense layers, changed in place.
        lost: share of the sum of squared singular values that is lost.
        context: gets the ranks.
    """

    def rank(layer: nn.Linear) -> int:
        energies = torch.linalg.svdvals(layer.weight.double()).square()
        tails = energies.flip(0).cumsum(0).flip(0)
        return max(1, int((tails > lost * tails[0]).sum()))

    return _replace(model, rank, context)


def _replace(model: nn.Module, rank_of, context: Context) -> nn.Module:
    ranks = {}
    for name, layer in matrices(model).items():
        rank = rank_of(layer)
        # Two factors of a larger rank would have more entries than the matrix.
        if rank <= largest_saving_rank(layer.in_features, layer.out_features):
            place(model, name, LowRankLinear.from_linear(layer, rank))
            ranks[name] = rank
    context.notes["svd"] = {"ranks": ranks}
    return model


SVD = Method(
    "svd",
    MATRICES,
    svd,
    strength="share of the entries of each matrix that is saved",
    stored="two factors per matrix",
    bounds=(0.01, 0.99),
    is_trained=True,
)
SVD_ENERGY = Method(
    "svd-energy",
    MATRICES,
    svd_energy,
    strength="largest share of the squared singular values of each matrix that is lost",
    stored="two factors per matrix, where they are smaller",
    bounds=(0.001, 0.99),
    is_trained=True,
)
