"""Unit vectors and the catalogue softmax against the formula written out."""

import math

import pytest
import torch

from recbole_mpo.layers.losses import (
    SparseLogits,
    catalogue_cross_entropy,
    full_cross_entropy,
    inclusion_probability,
    sampled_cross_entropy,
    unit,
)


def case(targets=40, items=37, hidden=6, dtype=torch.float64, seed=0):
    """States, items and targets whose logits spread over about +-20, as cosines over a temperature do."""
    generator = torch.Generator().manual_seed(seed)
    states, vectors = (4 * torch.randn(n, hidden, generator=generator, dtype=dtype) for n in (targets, items))
    wanted = torch.randint(1, items, (targets,), generator=generator)
    return states.requires_grad_(), vectors.requires_grad_(), wanted


def loss_and_gradients(loss, *inputs):
    return loss, *torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("mask_pad", [False, True])
def test_cross_entropy_counts_pad_unless_masked(mask_pad):
    logits, targets = torch.randn(4, 6, dtype=torch.float64), torch.tensor([1, 5, 2, 2])
    classes = logits[:, 1:] if mask_pad else logits
    expected = (classes.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]).mean()
    torch.testing.assert_close(full_cross_entropy(logits, targets, mask_pad), expected)


@pytest.mark.parametrize("items", [2, 16, 37])
@pytest.mark.parametrize("max_logits", [None, 1, 100, 10**6])
@pytest.mark.parametrize("mask_pad", [False, True])
def test_chunks_equal_the_whole(items, max_logits, mask_pad):
    states, vectors, targets = case(items=items)
    result = catalogue_cross_entropy(states, vectors, targets, mask_pad, max_logits)
    expected = full_cross_entropy(states @ vectors.t(), targets, mask_pad)
    for gradient, reference in zip(
        loss_and_gradients(3 * result, states, vectors), loss_and_gradients(3 * expected, states, vectors), strict=True
    ):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("max_logits", [None, 100, 10**6])
@pytest.mark.parametrize("mask_pad", [False, True])
def test_added_logits_are_part_of_the_softmax_and_take_a_gradient(max_logits, mask_pad):
    states, vectors, targets = case()
    generator = torch.Generator().manual_seed(9)
    places = torch.randperm(40 * 37, generator=generator)[:300]
    places = torch.cat([places, torch.arange(40) * 37 + targets]).unique()  # targets among them
    rows, columns = places // 37, places % 37
    values = torch.randn(len(places), generator=generator, dtype=torch.float64, requires_grad=True)
    added = SparseLogits(rows, columns, values)
    result = catalogue_cross_entropy(states, vectors, targets, mask_pad, max_logits, added)
    whole = torch.zeros(40, 37, dtype=torch.float64).index_put((rows, columns), values)
    expected = full_cross_entropy(states @ vectors.t() + whole, targets, mask_pad)
    for gradient, reference in zip(
        loss_and_gradients(result, states, vectors, values), loss_and_gradients(expected, states, vectors, values),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


def test_chunks_equal_the_whole_in_single_precision():
    states, vectors, targets = case(300, 501, dtype=torch.float32)
    states, vectors = (unit(x).detach().requires_grad_() for x in (states, vectors))
    result = loss_and_gradients(catalogue_cross_entropy(states, vectors, targets, max_logits=5010), states, vectors)
    expected = loss_and_gradients(full_cross_entropy(states @ vectors.t(), targets), states, vectors)
    for gradient, reference in zip(result, expected, strict=True):
        assert (gradient - reference).abs().max() <= 1e-6 * max(1.0, reference.abs().max().item())


def test_a_hopeless_target_has_a_finite_loss():
    states, vectors = torch.tensor([[300.0]]), torch.tensor([[0.0], [1.0], [-1.0]])
    loss = catalogue_cross_entropy(states, vectors, torch.tensor([2]))
    assert loss.item() == pytest.approx(600.0)


def test_logits_stay_in_single_precision_under_autocast():
    states, vectors, targets = case(dtype=torch.float32)
    expected = catalogue_cross_entropy(states, vectors, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(catalogue_cross_entropy(states, vectors, targets), expected)
        low = catalogue_cross_entropy(states.bfloat16(), vectors, targets)
    assert low.dtype == torch.float32


def test_zero_rows_score_zero_and_take_no_gradient():
    items = torch.randn(5, 4)
    items[2] = 0.0
    items.requires_grad_()
    logits = unit(torch.randn(3, 4)) @ unit(items).t()
    assert not logits[:, 2].any()
    full_cross_entropy(logits, torch.tensor([1, 3, 2])).backward()
    assert not items.grad[2].any()
    assert torch.isfinite(items.grad).all() and items.grad[1].any()


def test_unit_rows_and_their_gradient_are_torchs():
    vectors = torch.randn(2, 7, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 7, 5, dtype=torch.float64)
    result, expected = unit(vectors), torch.nn.functional.normalize(vectors, dim=-1)
    torch.testing.assert_close(result, expected)
    gradient, reference = (torch.autograd.grad((x * weights).sum(), vectors) for x in (result, expected))
    torch.testing.assert_close(gradient, reference)


def test_certain_candidates_make_the_sampled_loss_the_full_one():
    states, vectors, targets = case()
    result = sampled_cross_entropy(states, vectors, targets, torch.ones(37, dtype=torch.float64))
    expected = full_cross_entropy(states @ vectors.t(), targets)
    for gradient, reference in zip(
        loss_and_gradients(result, states, vectors), loss_and_gradients(expected, states, vectors), strict=True
    ):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


def test_entries_at_places_of_the_flattened_logits_join_and_add_up():
    one = SparseLogits.at(torch.tensor([0, 6, 13]), 7, torch.tensor([1.0, 2.0, 4.0]))
    assert one.rows.tolist() == [0, 0, 1] and one.columns.tolist() == [0, 6, 6]
    joined = SparseLogits.joined([one, SparseLogits.at(torch.tensor([6]), 7, torch.tensor([8.0]))])
    assert joined.values.tolist() == [1, 2, 4, 8]
    assert joined.add_to(torch.ones(2, 7)).tolist() == [[2, 1, 1, 1, 1, 1, 11], [1, 1, 1, 1, 1, 1, 5]]


def repeated_entries(targets, width):
    """Entries of which places occur up to three times, those of the targets among them."""
    generator = torch.Generator().manual_seed(9)
    places = torch.randint(0, len(targets) * width, (400,), generator=generator)
    places = torch.cat([places, places[:150], torch.arange(len(targets)) * width + targets])
    values = torch.randn(len(places), generator=generator, dtype=torch.float64, requires_grad=True)
    return places, values


@pytest.mark.parametrize("max_logits", [None, 100])
def test_entries_at_one_place_add_up_and_each_takes_its_gradient(max_logits):
    states, vectors, targets = case()
    places, values = repeated_entries(targets, 37)
    result = catalogue_cross_entropy(
        states, vectors, targets, max_logits=max_logits, added=SparseLogits.at(places, 37, values)
    )
    whole = torch.zeros(40 * 37, dtype=torch.float64).index_add(0, places, values).view(40, 37)
    expected = full_cross_entropy(states @ vectors.t() + whole, targets)
    inputs = states, vectors, values
    pairs = zip(loss_and_gradients(result, *inputs), loss_and_gradients(expected, *inputs), strict=True)
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


def test_added_logits_of_candidates_are_corrected_as_the_others():
    """Each exponential but the target's is over its probability; places occur several times."""
    states, vectors, targets = case()
    chances = torch.rand(37, generator=torch.Generator().manual_seed(3), dtype=torch.float64) / 2 + 0.5
    places, values = repeated_entries(targets, 37)
    result = sampled_cross_entropy(states, vectors, targets, chances, SparseLogits.at(places, 37, values))
    logits = states @ vectors.t() + torch.zeros(40 * 37, dtype=torch.float64).index_add(0, places, values).view(40, 37)
    is_target = torch.arange(37) == targets.unsqueeze(1)
    expected = full_cross_entropy(torch.where(is_target, logits, logits - chances.log()), targets)
    inputs = states, vectors, values
    pairs = zip(loss_and_gradients(result, *inputs), loss_and_gradients(expected, *inputs), strict=True)
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


def test_correction_makes_the_normaliser_unbiased():
    """exp(loss + target logit) averages to the sum over the catalogue; without the correction it falls short."""
    generator = torch.Generator().manual_seed(1)
    items, sampled, hidden = 60, 12, 4
    states = torch.randn(1, hidden, generator=generator, dtype=torch.float64)
    vectors = torch.randn(items, hidden, generator=generator, dtype=torch.float64)
    target = torch.tensor([17])
    logits = (states @ vectors.t()).squeeze(0)
    inclusion = torch.full((items,), sampled / (items - 1), dtype=torch.float64)
    sums = {"corrected": [], "plain": []}
    for _ in range(4000):
        others = torch.randperm(items - 1, generator=generator)[:sampled]
        ids = torch.cat([target, others + (others >= target)])
        chances = inclusion[ids]
        for name, chance in (("corrected", chances), ("plain", torch.ones_like(chances))):
            loss = sampled_cross_entropy(states, vectors[ids], torch.tensor([0]), chance)
            sums[name].append((loss + logits[17]).exp().item())
    whole = logits.exp().sum().item()
    assert math.fsum(sums["corrected"]) / 4000 == pytest.approx(whole, rel=0.03)
    assert math.fsum(sums["plain"]) / 4000 < 0.5 * whole


def test_inclusion_probability_is_how_often_items_come():
    generator = torch.Generator().manual_seed(2)
    counts = torch.tensor([500, 60, 20, 4, 0])
    epoch = torch.arange(5).repeat_interleave(counts)
    targets, sampled, draws = 30, 2, 20_000
    came = torch.zeros(5)
    for _ in range(draws):
        batch = epoch[torch.randperm(len(epoch), generator=generator)[:targets]]
        came[torch.cat([batch, torch.randperm(5, generator=generator)[:sampled]]).unique()] += 1
    expected = inclusion_probability(counts, targets / len(epoch), sampled / 5)
    assert (came / draws - expected).abs().max() < 0.015
    assert inclusion_probability(counts, targets / len(epoch), 1.0).tolist() == [1.0] * 5
    whole_epoch = inclusion_probability(counts, 1.0, 0.0)
    assert whole_epoch.tolist() == [1.0] * 4 + [0.0]
