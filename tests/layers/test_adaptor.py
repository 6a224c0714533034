"""The adaptor computes UniSRec's published form, only faster; a projection stands where it stands."""

import math

import pytest
import torch

from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.layers.mpo import convert_to_mpo

ITEMS, FEATURES, HIDDEN, EXPERTS = 11, 12, 8, 3


@pytest.fixture
def adaptor():
    torch.manual_seed(3)
    module = MoEAdaptor(FEATURES, HIDDEN, EXPERTS).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.fixture
def features():
    return torch.randn(ITEMS, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def gradients(module, output):
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return torch.autograd.grad((output * weights).sum(), list(module.parameters()), allow_unused=True)


@pytest.mark.parametrize("factorised", [False, True])
def test_folded_bias_equals_unfolded_form(adaptor, features, factorised):
    if factorised:
        convert_to_mpo(adaptor, ["experts.*.lin"], num_cores=3)
    adaptor.eval()
    torch.testing.assert_close(adaptor(features), adaptor.forward_unfolded(features), rtol=1e-12, atol=1e-12)
    for fast, slow in zip(
        gradients(adaptor, adaptor(features)), gradients(adaptor, adaptor.forward_unfolded(features)), strict=True
    ):
        if fast is not None or slow is not None:
            torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_training_path_equals_unfolded_form(adaptor, features):
    """A dropout rate below the masks' resolution takes the training path and drops nothing."""
    adaptor.train()
    adaptor.noisy = False
    adaptor.dropout = 1e-9
    for expert in adaptor.experts:
        expert.dropout.p = 0.0
    fast, slow = adaptor(features), adaptor.forward_unfolded(features)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    for name, gradient, expected in zip(
        dict(adaptor.named_parameters()), gradients(adaptor, fast), gradients(adaptor, slow), strict=True
    ):
        if name != "w_noise":
            torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12, msg=name)


def test_gradients_see_the_masks_that_were_drawn(adaptor, features):
    adaptor.train()
    torch.manual_seed(0)
    output = adaptor(features)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    (output * weights).sum().backward()
    for parameter in (adaptor.experts[1].lin.weight, adaptor.w_gate, adaptor.w_noise):
        index = (2, 1)
        step = torch.zeros_like(parameter)
        step[index] = 1e-5

        def shifted(sign, parameter=parameter, step=step):
            with torch.no_grad():
                parameter.add_(sign * step)
                torch.manual_seed(0)
                value = (adaptor(features) * weights).sum().item()
                parameter.sub_(sign * step)
            return value

        slope = (shifted(1) - shifted(-1)) / 2e-5
        assert slope == pytest.approx(parameter.grad[index].item(), rel=1e-5)


def test_low_precision_stays_near(adaptor, features):
    adaptor.float().train()
    torch.manual_seed(0)
    expected = adaptor(features.float())
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = adaptor(features.float())
    low.float().sum().backward()
    assert torch.isfinite(adaptor.experts[0].lin.weight.grad).all()
    assert 0 < (low - expected).abs().max() < 0.05 * expected.abs().max()


def test_experts_draw_their_own_masks(adaptor, features):
    adaptor.train()
    adaptor.noisy = False
    adaptor.dropout = 0.5
    with torch.no_grad():
        adaptor.w_gate.zero_()
        for expert in adaptor.experts:
            expert.lin.weight.copy_(torch.eye(HIDDEN, FEATURES))
            expert.bias.zero_()
    survivals = (adaptor(features) / features[:, :HIDDEN] * EXPERTS / 2).round()
    # With one mask for all, a feature would be kept by no expert or by every one.
    assert set(survivals.unique().tolist()) == set(range(EXPERTS + 1))


def test_expectation_under_dropout_is_the_eval_output(adaptor, features):
    adaptor.train()
    adaptor.noisy = False
    torch.manual_seed(1)
    mean = adaptor(features.repeat(4000, 1)).unflatten(0, (4000, ITEMS)).mean(0)
    adaptor.eval()
    assert (mean - adaptor(features)).abs().max() < 0.08


def test_gates_sum_to_one_and_noise_only_in_training(adaptor, features):
    adaptor.eval()
    assert torch.equal(adaptor.gates(features), adaptor.gates(features))
    torch.testing.assert_close(adaptor.gates(features).sum(1), torch.ones(ITEMS, dtype=torch.float64))
    adaptor.train()
    assert not torch.equal(adaptor.gates(features), adaptor.gates(features))


@pytest.mark.parametrize(
    ("weight", "spread"), [(-100.0, 0.01), (0.0, math.log(2) + 0.01), (2.0, math.log1p(math.exp(2)) + 0.01)]
)
def test_the_noise_of_the_gates_is_never_below_its_floor(weight, spread):
    """UniSRec's noisy gating: the standard deviation is ``softplus(x W_noise) + 0.01``."""
    adaptor = MoEAdaptor(1, 4, 3).train()
    torch.nn.init.constant_(adaptor.w_noise, weight)
    torch.nn.init.normal_(adaptor.w_gate)
    features = torch.ones(5, 1)
    torch.manual_seed(0)
    gates = adaptor.gates(features)
    torch.manual_seed(0)
    expected = (features @ adaptor.w_gate + spread * torch.randn(5, 3)).softmax(dim=-1)
    torch.testing.assert_close(gates, expected)
    assert not torch.equal(gates[0], gates[1])


def test_state_dict_has_unisrecs_names(adaptor):
    expected = {"w_gate", "w_noise"}
    expected |= {f"experts.{k}.{name}" for k in range(EXPERTS) for name in ("bias", "lin.weight")}
    assert set(adaptor.state_dict()) == expected
