"""Which layers are compressed: matrices of experts and Transformer, whatever has taken their places."""

import torch
from release.compress.tiny_models import tiny_model

from recbole_mpo.release.compress.context import Context, matrices, weight_of
from recbole_mpo.release.compress.low_rank_matrices import svd

NAMES = {f"moe_adaptor.experts.{number}.lin" for number in range(4)} | {
    f"trm_encoder.layer.{layer}.{part}"
    for layer in range(2)
    for part in (
        *(f"multi_head_attention.{name}" for name in ("query", "key", "value", "dense")),
        *(f"feed_forward.{name}" for name in ("dense_1", "dense_2")),
    )
}


def test_matrices_are_those_of_experts_and_transformer():
    model = tiny_model()
    assert set(matrices(model)) == NAMES
    before = {name: weight_of(layer).clone() for name, layer in matrices(model).items()}
    svd(model, 0.1, Context())
    assert set(matrices(model)) == NAMES
    for name, layer in matrices(model).items():
        assert weight_of(layer).shape == before[name].shape
        assert torch.isfinite(weight_of(layer)).all()
