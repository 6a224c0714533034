"""Operations of a training step: counted ones agree with arithmetic, and counting changes nothing."""

import pytest
import torch
from support import built_run

from recbole_mpo.trainer.step_flops import step_flops

CPU = torch.device("cpu")


def arithmetic(one, batch) -> float:
    """Return 6 N per position, plus attention, adaptor and softmax: forward once, backward twice."""
    size, inner, layers = (one.config[key] for key in ("hidden_size", "inner_size", "n_layers"))
    items, features, experts = one.dataset.item_num, one.model.feature_size, one.config["n_exps"]
    rows, length = batch.items.shape
    places, targets = rows * length, len(batch)
    # The last layer computes what follows attention for the predicting places alone.
    rest = size * size + 2 * size * inner
    encoder = layers * 3 * size * size * places + rest * ((layers - 1) * places + targets)
    attention = layers * 2 * rows * length * length * size
    # Whitening experts and the gate with its noise; features need no gradient, so that backward costs half as much.
    adaptor = items * features * (experts * size + 2 * experts) * 2 / 3
    return 6 * (encoder + attention + adaptor + targets * items * size)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_counted_operations_are_those_of_arithmetic(tiny_settings, n_layers):
    sizes = {"hidden_size": 64, "inner_size": 256, "n_layers": n_layers, "train_batch_size": 256}
    one = built_run("UniSRec", "tiny", (), {**tiny_settings, **sizes})
    batch = next(iter(one.loaders[0]))
    assert step_flops(one.model, batch, CPU) == pytest.approx(arithmetic(one, batch), rel=0.05)


@pytest.mark.parametrize("tasks", [["nip"], ["nip", "si"]])
def test_counting_leaves_weights_gradients_and_random_numbers_alone(tiny_settings, tasks):
    one = built_run("UniSRec", "tiny", (), {**tiny_settings, "tasks": tasks})
    model, batch = one.model, next(iter(one.loaders[0]))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assert step_flops(model, batch, CPU) > 0
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.end_epoch() == {}
