"""Cosine logits and the catalogue softmax against the formula written out."""

import pytest
import torch

from recbole_mpo.layers.losses import cosine_logits, full_cross_entropy


def test_cosine_logits_are_unisrecs():
    states, items = torch.randn(3, 5), torch.randn(7, 5)
    expected = torch.stack([torch.cosine_similarity(state, items, dim=1) / 0.07 for state in states])
    torch.testing.assert_close(cosine_logits(states, items, 0.07), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mask_pad", [False, True])
def test_cross_entropy_counts_pad_unless_masked(mask_pad):
    logits, targets = torch.randn(4, 6, dtype=torch.float64), torch.tensor([1, 5, 2, 2])
    classes = logits[:, 1:] if mask_pad else logits
    expected = (classes.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]).mean()
    torch.testing.assert_close(full_cross_entropy(logits, targets, mask_pad), expected)


def test_zero_rows_score_zero_and_take_no_gradient():
    items = torch.randn(5, 4)
    items[2] = 0.0
    items.requires_grad_()
    logits = cosine_logits(torch.randn(3, 4), items, 0.07)
    assert not logits[:, 2].any()
    full_cross_entropy(logits, torch.tensor([1, 3, 2])).backward()
    assert not items.grad[2].any()
    assert torch.isfinite(items.grad).all() and items.grad[1].any()
