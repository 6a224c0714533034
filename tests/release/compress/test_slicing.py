"""Structured pruning: a smaller model scores as the whole one with the same parts masked."""

import pytest
import torch
from release.compress.tiny_models import ITEMS, scores_of, tiny_model

from recbole_mpo.layers.transformer import CausalSelfAttention, FeedForward
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.slicing import drop_experts, drop_heads, drop_neurons, strongest


def test_without_neurons_it_scores_as_with_them_masked():
    small, masked, context = tiny_model(), tiny_model(), Context()
    drop_neurons(small, 0.5, context)
    for part in (module for module in masked.modules() if isinstance(module, FeedForward)):
        strengths = part.dense_1.weight.norm(dim=1) * part.dense_2.weight.norm(dim=0)
        part.dense_2.weight.data[:, strengths <= strengths.median()] = 0
    sizes = [part.dense_1.out_features for part in small.modules() if isinstance(part, FeedForward)]
    assert sizes == [8, 8] == context.notes["ffn"]["neurons"]
    assert torch.allclose(scores_of(small), scores_of(masked), atol=1e-5)


@pytest.mark.parametrize("heads, share, left", [(2, 0.5, 1), (4, 0.25, 3), (4, 0.99, 1)])
def test_without_heads_it_scores_as_with_them_masked(heads, share, left):
    small, masked = tiny_model(n_heads=heads), tiny_model(n_heads=heads)
    drop_heads(small, share, Context())
    for part in (module for module in masked.modules() if isinstance(module, CausalSelfAttention)):
        blocks = part.dense.weight.data.unflatten(1, (heads, -1))
        blocks[:, blocks.norm(dim=(0, 2)).argsort()[: heads - left]] = 0
    parts = [module for module in small.modules() if isinstance(module, CausalSelfAttention)]
    assert {(part.num_heads, part.query.out_features, part.dense.in_features) for part in parts} == {
        (left, left * 20 // heads, left * 20 // heads)
    }
    assert torch.allclose(scores_of(small), scores_of(masked), atol=1e-5)


def test_without_experts_the_gates_are_renormalised():
    small, whole, context = tiny_model(), tiny_model(), Context()
    drop_experts(small, 0.5, context)
    kept = context.notes["experts"]["kept"]
    features = whole.item_table.features
    gates = whole.moe_adaptor.gates(features)
    has_text = ~whole.item_table.is_empty
    mass = gates[has_text].mean(dim=0)
    assert sorted(kept) == kept == sorted(mass.argsort(descending=True)[:2].tolist())
    left = gates[:, kept] / gates[:, kept].sum(dim=1, keepdim=True)
    outputs = torch.stack([whole.moe_adaptor.experts[number](features) for number in kept], dim=2)
    expected = (left.unsqueeze(1) * outputs).sum(dim=2)
    with torch.no_grad():
        vectors = small.encode_items()
    assert vectors.shape == (ITEMS, 20)
    assert torch.allclose(vectors[has_text], expected[has_text], atol=1e-5)


def test_one_part_always_stays():
    assert strongest(torch.tensor([1.0, 3.0, 2.0]), 0.99).tolist() == [1]
    assert strongest(torch.tensor([1.0, 3.0, 2.0]), 0.34).tolist() == [1, 2]


def test_frozen_matrices_stay_frozen():
    model = tiny_model()
    model.requires_grad_(False)
    for drop in (drop_neurons, drop_heads, drop_experts):
        drop(model, 0.5, Context())
    assert not any(parameter.requires_grad for parameter in model.parameters())
