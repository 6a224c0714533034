"""Further training: zeros stay, only what is asked for is trained, a penalty shrinks, and seconds are counted."""

import copy

import pytest
import torch
from support import built_run

from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.further_training import FurtherTraining
from recbole_mpo.release.compress.sparsity import prune


@pytest.fixture
def built(tiny_settings):
    return built_run("UniSRec", "tiny", (), {**tiny_settings, "weight_decay": 0.1})


def test_zeros_stay_and_the_rest_is_trained(built):
    model, context = built.model, Context(penalty=0.01)
    prune(model, 0.7, context)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    training = FurtherTraining(built.experiment)
    training(model, context, 2)
    for name, parameter in model.named_parameters():
        if name in context.masks:
            assert torch.equal(parameter != 0, context.masks[name])
            assert not torch.equal(parameter, before[name])
    assert training.seconds > 0 and not model.training


def test_only_what_is_asked_for_is_trained(built):
    model = built.model
    model.position_embedding.requires_grad_(False)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    FurtherTraining(built.experiment)(model, Context(), 1, lambda name: name.startswith("LayerNorm"))
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {"LayerNorm.weight", "LayerNorm.bias"}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"position_embedding.weight"}


def test_a_penalty_shrinks_matrices_alone(built):
    sizes = []
    for penalty in (0.0, 10.0):
        model = copy.deepcopy(built.model)
        FurtherTraining(built.experiment)(model, Context(penalty=penalty), 2)
        sizes.append(sum(float(layer.weight.detach().abs().sum()) for layer in matrices(model).values()))
    assert sizes[1] < 0.9 * sizes[0]
