"""Dropout from few random bits: the right rate, the right scale, the global generator."""

import pytest
import torch

from recbole_mpo.layers.cpu_kernels import Dropout, dropout


@pytest.mark.parametrize("p", [0.001, 0.1, 0.2, 0.5, 0.9])
def test_rate_and_scale(p):
    torch.manual_seed(0)
    dropped = dropout(torch.ones(1000, 1001), p)
    assert (dropped == 0).double().mean().item() == pytest.approx(p, rel=0.007, abs=0.0001)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.003 / (1 - p))
    kept = dropped[dropped != 0]
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=2e-3)


def test_neighbours_and_rows_are_independent():
    torch.manual_seed(0)
    mask = (dropout(torch.ones(2000, 400), 0.5) != 0).double() - 0.5
    for shift in (1, 2, 3, 4, 5, 400):
        flat = mask.flatten()
        assert abs((flat[:-shift] * flat[shift:]).mean().item()) < 0.001


def test_seed_decides():
    torch.manual_seed(9)
    first = dropout(torch.ones(50), 0.5)
    torch.manual_seed(9)
    assert torch.equal(first, dropout(torch.ones(50), 0.5))
    assert not torch.equal(first, dropout(torch.ones(50), 0.5))


@pytest.mark.parametrize("p", [0.0, 1e-9])
def test_rates_below_the_resolution_drop_nothing(p):
    x = torch.randn(100)
    assert torch.equal(dropout(x, p), x)


def test_rate_one_drops_all():
    assert not dropout(torch.ones(100), 1.0).any()


def test_gradient_flows_through_survivors_alone():
    x = torch.ones(1000, requires_grad=True)
    dropped = dropout(x, 0.5)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


def test_module_is_silent_in_eval_mode_and_checks_its_rate():
    module = Dropout(0.5).eval()
    x = torch.randn(10)
    assert torch.equal(module(x), x)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Dropout(1.5)


def test_keeps_dtype_and_infinities_out():
    dropped = dropout(torch.full((1000,), 2.0, dtype=torch.float64), 0.5)
    assert dropped.dtype == torch.float64
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
