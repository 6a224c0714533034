"""Magnitude pruning: the share of zeros, one threshold, and what stays untouched."""

import pytest
import torch
from release.compress.tiny_models import tiny_model

from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.sparsity import prune


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_the_share_of_zeros_is_the_strength(share):
    model, context = tiny_model(), Context()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model, share, context)
    weights = torch.cat([layer.weight.flatten() for layer in matrices(model).values()])
    assert float((weights == 0).float().mean()) == pytest.approx(share, abs=1e-3)
    # The largest zero is no larger than the smallest entry that stays.
    former = torch.cat([before[f"{name}.weight"].flatten() for name in matrices(model)]).abs()
    assert former[weights == 0].max() <= former[weights != 0].min()
    assert torch.equal(weights[weights != 0].abs(), former[weights != 0])


def test_only_matrices_change():
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prune(model, 0.5, Context())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.weight" for name in matrices(model)}
    assert len(changed) == 4 + 2 * 6


def test_a_penalty_is_trained_with_before():
    trained = []
    context = Context(penalty=0.1, epochs=3, train=lambda model, context, epochs: trained.append(epochs))
    prune(tiny_model(), 0.5, context)
    assert trained == [3]
