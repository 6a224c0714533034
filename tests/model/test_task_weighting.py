"""Weights of tasks: each is its formula, against torchjd where it is installed, and what it learns is right."""

import pytest
import torch

from recbole_mpo.model.task_weighting import LEARNED, WEIGHTINGS, WITHOUT_FIXED, GradNorm

FIXED = [1.0, 0.5, 2.0]
LOSSES = torch.tensor([3.0, 8.0, 1.0])


def total(weighting, losses):
    return (weighting(losses.detach()) * losses).sum() + weighting.penalty()


def test_weights_that_do_not_depend_on_training():
    weights = {name: WEIGHTINGS[name](FIXED)(LOSSES).tolist() for name in ("static", "pcgrad", "alternating")}
    assert all(one == FIXED for one in weights.values())
    assert WEIGHTINGS["average"](FIXED)(LOSSES).tolist() == pytest.approx([1 / 3] * 3)


def test_the_largest_weighted_loss_counts_alone():
    assert WEIGHTINGS["max"](FIXED)(LOSSES).tolist() == [0.0, 0.5, 0.0]
    assert WEIGHTINGS["max"](FIXED)(torch.tensor([3.0, 4.0, 2.0])).tolist() == [0.0, 0.0, 2.0]


def test_random_weights_differ_in_each_step_and_come_from_the_generator():
    weighting = WEIGHTINGS["random"]([1.0, 1.0, 1.0])
    torch.manual_seed(0)
    first, second = weighting(LOSSES), weighting(LOSSES)
    assert not torch.equal(first, second) and first.sum().item() == pytest.approx(1.0)
    torch.manual_seed(0)
    assert torch.equal(WEIGHTINGS["random"](FIXED)(LOSSES), first * torch.tensor(FIXED))


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_one_task_is_trained_as_by_itself(name):
    """But for a half of uncertainty, which no optimizer with momentum notices."""
    weighting = WEIGHTINGS[name]([1.0])
    loss = torch.tensor([2.0], requires_grad=True)
    total(weighting, loss).backward()
    assert loss.grad.item() == pytest.approx(0.5 if name == "uncertainty" else 1.0)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_have_the_precision_of_the_losses_and_are_positive(name):
    weights = WEIGHTINGS[name](FIXED)(LOSSES)
    assert weights.dtype == torch.float32 and (weights >= 0).all() and weights.sum() > 0


def test_uncertainty_ends_where_the_variance_is_the_loss():
    weighting = WEIGHTINGS["uncertainty"]([1.0, 1.0])
    losses = torch.tensor([5.0, 0.25])
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(800):
        optimizer.zero_grad()
        total(weighting, losses).backward()
        optimizer.step()
    torch.testing.assert_close(weighting.log_variances.exp(), losses, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(weighting(losses), 0.5 / losses, rtol=1e-3, atol=1e-3)


def test_a_loss_that_falls_more_slowly_counts_more():
    weighting = WEIGHTINGS["dwa"]([1.0, 1.0, 0.5])
    for means in ([4.0, 4.0, 4.0], [2.0, 4.0, 1.0]):
        assert weighting(LOSSES).tolist() == [1.0, 1.0, 0.5]
        weighting.end_epoch(torch.tensor(means, dtype=torch.float64))
    expected = 3 * torch.softmax(torch.tensor([0.5, 1.0, 0.25]) / 2, dim=0) * torch.tensor([1.0, 1.0, 0.5])
    torch.testing.assert_close(weighting(LOSSES), expected)
    weighting.end_epoch(torch.tensor([0.0, 4.0, 1.0], dtype=torch.float64))
    weighting.end_epoch(torch.tensor([0.0, 4.0, 1.0], dtype=torch.float64))
    assert weighting(LOSSES).isfinite().all()


class TestGradNorm:
    """The lengths of the gradients and the losses stay as given, so the weights have one place to go."""

    def balanced(self, lengths, losses, steps=2000, first=(1.0, 1.0, 1.0)):
        weighting = GradNorm([1.0] * 3)
        weighting.first_losses.copy_(torch.tensor(first))
        optimizer = torch.optim.Adam(weighting.parameters(), lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            weighting.imbalance(lengths, losses).backward()
            optimizer.step()
            assert weighting(lengths).sum().item() == pytest.approx(3.0) and (weighting(lengths) > 0).all()
        return weighting(lengths) * lengths

    def test_gradients_of_losses_that_fall_alike_become_equally_long(self):
        """Also when one is a hundred times larger than the others."""
        weighted = self.balanced(torch.tensor([100.0, 1.0, 1.0]), torch.ones(3))
        assert (weighted / weighted.mean()).tolist() == pytest.approx([1.0] * 3, rel=0.05)

    def test_a_loss_that_falls_less_gets_a_longer_gradient(self):
        left = torch.tensor([0.5, 1.0, 0.5])
        weighted = self.balanced(torch.tensor([2.0, 1.0, 3.0]), left)
        expected = (left / left.mean()) ** 1.5
        ratios = weighted / weighted.mean()
        assert (ratios[1] / ratios[0]).item() == pytest.approx((expected[1] / expected[0]).item(), rel=0.1)
        assert ratios[0].item() == pytest.approx(ratios[2].item(), rel=0.05)

    def test_the_first_losses_are_remembered(self):
        weighting = GradNorm([1.0] * 3)
        weighting.imbalance(torch.ones(3), LOSSES)
        weighting.imbalance(torch.ones(3), 2 * LOSSES)
        assert weighting.first_losses.tolist() == LOSSES.tolist()


def test_what_a_weighting_knows_is_in_its_state():
    """Without what the settings say, so that older checkpoints fit."""
    names = {name: set(one(FIXED).state_dict()) for name, one in WEIGHTINGS.items()}
    assert {name: one for name, one in names.items() if one} == {
        "uncertainty": {"log_variances"},
        "dwa": {"epochs", "means"},
        "gradnorm": {"log_weights", "first_losses"},
        "alternating": {"steps"},
    }
    assert {name for name, one in WEIGHTINGS.items() if [*one(FIXED).parameters()]} == set(LEARNED)
    assert set(WITHOUT_FIXED) <= set(WEIGHTINGS)


class TestTorchjd:
    """An independent library of the same methods."""

    @pytest.fixture
    def torchjd(self):
        return pytest.importorskip("torchjd.scalarization", reason="torchjd is not installed")

    def test_has_the_same_uncertainty(self, torchjd):
        ours, theirs = WEIGHTINGS["uncertainty"](FIXED), torchjd.UW(3)
        with torch.no_grad():
            ours.log_variances.copy_(torch.tensor([0.3, -1.0, 2.0]))
            theirs.log_var.copy_(ours.log_variances)
        torch.testing.assert_close(total(ours, LOSSES), theirs(LOSSES))

    def test_has_the_same_random_weights(self, torchjd):
        torch.manual_seed(0)
        ours = total(WEIGHTINGS["random"]([1.0] * 3), LOSSES)
        torch.manual_seed(0)
        torch.testing.assert_close(ours, torchjd.Random()(LOSSES))

    def test_has_the_same_weights_of_falling_losses(self, torchjd):
        ours, theirs = WEIGHTINGS["dwa"]([1.0] * 3), torchjd.DWA()
        for epoch in range(4):
            losses = LOSSES / (1 + epoch * torch.tensor([0.1, 0.5, 1.0]))
            torch.testing.assert_close(total(ours, losses), theirs(losses))
            ours.end_epoch(losses.double())
            theirs.step()
