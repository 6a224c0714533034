"""Truncated SVD of matrices: its exact error, and no matrix that grows."""

import pytest
import torch
from release.compress.tiny_models import scores_of, tiny_model

from recbole_mpo.layers.low_rank import LowRankLinear
from recbole_mpo.release.compress.context import Context, matrices, weight_of
from recbole_mpo.release.compress.low_rank_matrices import svd, svd_energy


def test_each_matrix_loses_the_tail_of_its_singular_values():
    model, reference = tiny_model(), tiny_model()
    context = Context()
    svd(model, 0.5, context)
    assert len(context.notes["svd"]["ranks"]) == len(matrices(model)) == 16
    for name, layer in matrices(model).items():
        weight = matrices(reference)[name].weight
        rank = context.notes["svd"]["ranks"][name]
        tail = torch.linalg.svdvals(weight.double())[rank:].norm()
        assert float((weight_of(layer) - weight).norm().detach()) == pytest.approx(float(tail.detach()), rel=1e-5)
        assert rank * sum(weight.shape) <= 0.5 * weight.numel()


def test_a_matrix_that_would_grow_stays():
    model, context = tiny_model(), Context()
    svd_energy(model, 0.001, context)
    kept = [layer for layer in matrices(model).values() if not isinstance(layer, LowRankLinear)]
    assert len(kept) == 16 - len(context.notes["svd"]["ranks"]) > 0
    assert torch.allclose(scores_of(model), scores_of(tiny_model()), atol=0.5)


def test_energy_is_what_is_lost():
    model, context = tiny_model(), Context()
    svd_energy(model, 0.4, context)
    for name, layer in matrices(model).items():
        weight = matrices(tiny_model())[name].weight
        assert float((weight_of(layer) - weight).square().sum() / weight.square().sum()) <= 0.4 + 1e-5
