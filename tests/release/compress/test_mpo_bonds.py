"""MPO truncation of a whole model: the errors of a sweep add up to the whole error, and large bonds lose nothing."""

import math

import pytest
import torch
from release.compress.tiny_models import scores_of, tiny_model

from recbole_mpo.layers.mpo import MPOLinear
from recbole_mpo.release.compress.context import Context, matrices, weight_of
from recbole_mpo.release.compress.mpo_bonds import as_mpo, mpo, mpo_energy


def test_full_bonds_lose_nothing():
    model = tiny_model()
    assert all(isinstance(layer, MPOLinear) for layer in as_mpo(model).values())
    assert torch.allclose(scores_of(model), scores_of(tiny_model()), atol=1e-3)


def test_a_matrix_that_would_grow_stays():
    model, context = tiny_model(), Context()
    mpo(model, 4096, context)
    assert not any(isinstance(layer, MPOLinear) for layer in matrices(model).values())
    assert torch.equal(scores_of(model), scores_of(tiny_model()))
    assert set(context.notes["mpo"]["dense"]) == set(matrices(model))


@pytest.mark.parametrize("method, strength", [(mpo, 3), (mpo_energy, 0.6)])
def test_what_bonds_discard_adds_up_to_the_error(method, strength):
    model, context = tiny_model(), Context()
    method(model, strength, context)
    assert context.notes["mpo"]["layers"]
    for name, note in context.notes["mpo"]["layers"].items():
        weight = matrices(tiny_model())[name].weight
        error = float(((weight_of(matrices(model)[name]) - weight).norm() / weight.norm()).detach())
        assert math.hypot(*note["discarded"]) == pytest.approx(note["error"], rel=1e-9, abs=1e-12)
        assert note["error"] == pytest.approx(error, rel=1e-4, abs=1e-6)
        if method is mpo:
            assert max(note["bonds"]) <= 3
        else:
            assert note["error"] ** 2 <= 0.6 + 1e-9
        assert all(0 <= value <= math.log(400) for value in note["entropies"])


def test_smaller_bonds_leave_fewer_entries():
    sizes = []
    for bond in (2, 4, 8):
        model = tiny_model()
        mpo(model, bond, Context())
        sizes.append(sum(parameter.numel() for parameter in model.parameters()))
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
