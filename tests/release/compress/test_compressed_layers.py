"""Layers made again from their tensors compute the same."""

import pytest
import torch
from release.compress.tiny_models import scores_of, tiny_model

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.compress.compressed_layers import KINDS, kinds_of, place_layers
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.fast_int8 import fast_int8
from recbole_mpo.release.compress.low_rank_matrices import svd
from recbole_mpo.release.compress.mpo_bonds import mpo

EXPERT = "moe_adaptor.experts.0.lin"


def changed(*steps):
    model = tiny_model()
    for method, strength in steps:
        method(model, strength, Context())
    return model


@pytest.mark.parametrize(
    "steps, kinds",
    [
        ((), {"linear"}),
        (((svd, 0.5),), {"low_rank", "linear"}),
        (((mpo, 3),), {"mpo"}),
        (((fast_int8, None),), {"int8_fast"}),
        (((svd, 0.5), (fast_int8, None)), {"low_rank", "int8_fast"}),
    ],
)
def test_a_model_with_the_same_layers_scores_the_same(steps, kinds):
    model = changed(*steps)
    assert set(kinds_of(model).values()) == kinds <= set(KINDS)
    other = tiny_model(seed=3)
    place_layers(other, kinds_of(model), model.state_dict())
    for name, tensor in model.state_dict().items():
        if name not in other.state_dict() or not torch.equal(other.state_dict()[name], tensor):
            assert not name.startswith(("moe_adaptor.experts.0.lin", "trm_encoder.layer.0.feed_forward.dense")), name
    other.load_state_dict(model.state_dict())
    other.item_table.features, other.item_table.is_empty = model.item_table.features, model.item_table.is_empty
    assert torch.equal(scores_of(other), scores_of(model))


def test_wrong_layers_are_refused():
    model = tiny_model()
    with pytest.raises(CheckpointError, match="of the unknown kind 'round'"):
        place_layers(model, {EXPERT: "round"}, model.state_dict())
    with pytest.raises(CheckpointError, match=f"layer {EXPERT} of the compressed model cannot be made"):
        place_layers(model, {EXPERT: "int8_fast"}, model.state_dict())
