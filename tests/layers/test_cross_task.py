"""The connection of tasks: nothing changes before it is trained, and its formulas are those of its docstrings."""

import pytest
import torch
import torch.nn.functional as F

from recbole_mpo.layers.cross_task import EXCHANGES, FUSIONS, CrossTask

TASKS = ("nip", "si", "mip")
KINDS = tuple(EXCHANGES)


def trained(*arguments, **keywords):
    """A connection all of whose parameters are random."""
    connection = CrossTask(*arguments, **keywords).double()
    draw = torch.Generator().manual_seed(1)
    for weight in connection.parameters():
        weight.data = 0.3 * torch.randn(weight.shape, generator=draw, dtype=torch.float64)
    return connection


@pytest.fixture
def states():
    return torch.randn(5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def views_of(connection, states):
    """u_k = z + up(gelu(down(z))) of each task."""
    return {name: states + F.gelu(states @ head.down) @ head.up for name, head in connection.heads.items()}


@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_connection_returns_the_states_bit_for_bit(kind, fuse):
    states = torch.randn(7, 3, 16, generator=torch.Generator().manual_seed(0))
    connection = CrossTask(16, TASKS, "nip", kind, fuse)
    assert all(torch.equal(connection(states, task), states) for task in (None, *TASKS))


def test_making_one_leaves_the_random_generator_as_it_was():
    before = torch.get_rng_state()
    first = CrossTask(16, TASKS, "nip", "residual")
    assert torch.equal(torch.get_rng_state(), before)
    assert first.exchange.maps.std().item() == pytest.approx(0.02, rel=0.2)


def test_residual_adds_the_mapped_views_of_the_others(states):
    connection = trained(16, TASKS, "nip", "residual")
    views, gates, maps = views_of(connection, states), connection.exchange.gates, connection.exchange.maps
    expected = views["si"] + torch.tanh(gates[1, 0]) * views["nip"] @ maps[1, 0]
    expected = expected + torch.tanh(gates[1, 1]) * views["mip"] @ maps[1, 1]
    torch.testing.assert_close(connection(states, "si"), expected)


def test_attention_reads_all_views_of_one_state(states):
    connection = trained(16, TASKS, "nip", "attention")
    one, exchange = states[2], connection.exchange
    views = views_of(connection, one)
    stacked = torch.stack([*views.values()])
    scores = (views["mip"] @ exchange.query) @ (stacked @ exchange.key).t() / 4
    expected = views["mip"] + scores.softmax(dim=0) @ (stacked @ exchange.value) @ exchange.output
    torch.testing.assert_close(connection(states, "mip")[2], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_predicted_from_what_the_main_task_is_trained_on(states, kind):
    main = trained(16, TASKS, "nip", kind)
    mean, gated = (trained(16, TASKS, "nip", kind, fuse) for fuse in ("mean", "gated"))
    for other in (mean, gated):
        other.load_state_dict(main.state_dict(), strict=False)
    connected = torch.stack([main(states, name) for name in TASKS])
    assert torch.equal(main(states), main(states, "nip"))
    torch.testing.assert_close(mean(states), connected.mean(dim=0))
    shares = (states @ gated.gate).softmax(dim=1)
    torch.testing.assert_close(gated(states), torch.einsum("bk,kbd->bd", shares, connected))
    for fused in (mean, gated):
        assert torch.equal(fused(states), fused(states, "nip"))
        torch.testing.assert_close(fused(states, "si"), connected[1])


@pytest.mark.parametrize(
    ("kind", "fuse", "own"),
    [
        ("residual", "main", {"exchange.gates", "exchange.maps"}),
        ("attention", "mean", {f"exchange.{part}" for part in ("query", "key", "value", "output")}),
        ("residual", "gated", {"exchange.gates", "exchange.maps", "gate"}),
    ],
)
def test_a_head_belongs_to_a_task_and_the_rest_to_all(kind, fuse, own):
    connection = CrossTask(16, TASKS, "nip", kind, fuse)
    names = {id(weight): name for name, weight in connection.named_parameters()}
    assert {names[id(weight)] for weight in connection.own_parameters()} == own
    heads = {f"heads.{task}.{part}" for task in TASKS for part in ("down", "up")}
    assert set(names.values()) == own | heads


@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_parameters_learn_as_soon_as_what_is_zero_does(states, kind, fuse):
    connection = trained(16, TASKS, "nip", kind, fuse)
    sum(connection(states, task).pow(2).sum() for task in TASKS).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in connection.parameters())
    new = CrossTask(16, TASKS, "nip", kind, fuse).double()
    sum(new(states, task).pow(2).sum() for task in TASKS).backward()
    moved = {name for name, weight in new.named_parameters() if weight.grad is not None and weight.grad.abs().sum() > 0}
    assert moved >= {f"heads.{task}.up" for task in TASKS}
