"""Whole-model conversion, merging back, the merged() scope and parameter counts.

Legend: the toy model has UniSRec's key names: E = 2 experts, an encoder of one feed-forward layer.
"""

import copy
import pickle

import pytest
import torch
from torch import nn

from recbole_mpo.layers.mpo import (
    STRATEGIES,
    MPOLinear,
    MPOShape,
    convert_to_mpo,
    dense_state_dict,
    get_nb_trainable_parameters,
    merge_mpo,
    merged,
    mpo_layers,
    print_trainable_parameters,
)
from recbole_mpo.layers.stacked import merge_stacked

ADAPTOR = "moe_adaptor.experts.*.lin"


class Expert(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(24))
        self.lin = nn.Linear(24, 12, bias=False)

    def forward(self, x):
        return self.lin(x - self.bias)


class Adaptor(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([Expert(), Expert()])
        self.w_gate = nn.Parameter(torch.zeros(24, 2))

    def forward(self, x):
        return sum(expert(x) for expert in self.experts)


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.moe_adaptor = Adaptor()
        self.encoder = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12))

    def forward(self, x):
        return self.encoder(self.moe_adaptor(x))


LINEARS = ["moe_adaptor.experts.0.lin", "moe_adaptor.experts.1.lin", "encoder.0", "encoder.2"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Toy()


@pytest.fixture
def x():
    return torch.randn(5, 24, generator=torch.Generator().manual_seed(1))


def convert(model, targets=ADAPTOR, **options):
    return convert_to_mpo(model, targets, num_cores=3, **options)


@pytest.mark.parametrize(
    ("targets", "excluded", "expected"),
    [
        ("all-linear", None, LINEARS),
        ("all-linear", ["encoder.*"], LINEARS[:2]),
        (["lin"], None, LINEARS[:2]),
        (["experts.*.lin"], "experts.1.lin", LINEARS[:1]),
        (ADAPTOR, None, LINEARS[:2]),
        (["experts.0.lin", "encoder.2"], None, [LINEARS[0], LINEARS[3]]),
        (["2"], None, [LINEARS[3]]),
    ],
)
def test_targets(model, x, targets, excluded, expected):
    before = model(x)
    assert convert(model, targets, exclude_modules=excluded) is model
    assert list(mpo_layers(model)) == expected
    torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize("targets", ["in", ["moe_adaptor"], ["experts"], []])
def test_no_match_lists_the_linear_layers(model, targets):
    with pytest.raises(ValueError, match="match no linear layer.*" + ", ".join(LINEARS)):
        convert(model, targets)


def test_strategies_and_their_trainable_names(model):
    dense = {name for name, _ in model.named_parameters()}

    def trained(strategy):
        layer = convert(copy.deepcopy(model), strategy=strategy)
        return {name for name, p in layer.named_parameters() if p.requires_grad}

    rest = {name for name in dense if not name.endswith("lin.weight")}
    cores = {f"{name}.cores.{k}" for name in LINEARS[:2] for k in range(3)}
    assert trained("full") == rest | cores
    assert trained("light") == rest | {name for name in cores if not name.endswith("cores.1")}
    inserted = {f"{name}.expansion.{k}" for name in LINEARS[:2] for k in range(2)}
    assert trained("expand") == rest | cores | inserted
    assert trained("progressive") == trained("light")
    with pytest.raises(ValueError, match="one of full, light, expand, progressive; got 'all'"):
        convert(model, strategy="all")


def test_options_reach_the_layers(model, x):
    before = model(x)
    convert(model, strategy="expand", expand=3, expand_init="orthogonal", gauge="identity")
    layer = model.moe_adaptor.experts[0].lin
    assert len(layer.expansion) == 3 and layer.gauge == "identity"
    torch.testing.assert_close(model(x), before)


def test_a_shape_reaches_every_layer(model):
    convert_to_mpo(model, "all-linear", shape=MPOShape(num_cores=3, max_bond_dim=4, gauge="symmetric"))
    layers = mpo_layers(model)
    assert list(layers) == LINEARS
    for layer in layers.values():
        assert layer.num_cores == 3 and layer.gauge == "symmetric" and max(layer.bond_dims) <= 4


def test_an_error_names_the_layer_and_changes_nothing(model):
    with pytest.raises(ValueError, match=r"encoder\.0: in_factors \(4, 3, 2\) multiply to 24, .* is 12"):
        convert(model, "all-linear", in_factors=(4, 3, 2))
    assert not mpo_layers(model)


def test_tied_weights_are_refused(model):
    model.head = nn.Linear(12, 16)
    model.head.weight = model.encoder[0].weight
    with pytest.raises(ValueError, match=r"head\.weight and encoder\.0\.weight are one tied weight"):
        convert(model, "head")
    convert(model)


def test_a_layer_used_twice_stays_one_layer(model):
    model.again = model.encoder[0]
    convert(model, "all-linear")
    assert model.again is model.encoder[0] and isinstance(model.again, MPOLinear)
    assert list(dense_state_dict(model)) == list(merge_mpo(model).state_dict())
    assert model.again is model.encoder[0] and isinstance(model.again, nn.Linear)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_merge_mpo_restores_the_dense_model(model, x, strategy):
    dense = copy.deepcopy(model)
    convert(model, "all-linear", strategy=strategy)
    assert merge_mpo(model) is model
    assert not mpo_layers(model) and list(model.state_dict()) == list(dense.state_dict())
    assert all(p.requires_grad for p in model.parameters())
    torch.testing.assert_close(model(x), dense(x))
    for key, value in dense.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value)


def test_merge_mpo_of_a_single_layer():
    layer = MPOLinear(12, 8, num_cores=3)
    linear = merge_mpo(layer)
    assert type(linear) is nn.Linear and torch.equal(linear.weight, layer.weight)
    assert list(dense_state_dict(layer)) == ["weight", "bias"]


def test_dense_state_dict_loads_into_the_dense_model(model, x):
    dense = copy.deepcopy(model)
    convert(model, "all-linear", strategy="expand")
    state = dense_state_dict(model)
    assert list(state) == list(dense.state_dict()) and len(mpo_layers(model)) == 4
    assert not any(value.requires_grad for value in state.values())
    fresh = Toy()
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(x), dense(x))
    model.load_state_dict(state)


def test_merged_gives_the_same_outputs_from_one_merge(model, x, monkeypatch):
    convert(model, "all-linear").eval()
    expected, experts = model(x), [expert.lin for expert in model.moe_adaptor.experts]
    stacked, calls = merge_stacked(experts), []
    contract = MPOLinear.merge
    monkeypatch.setattr(MPOLinear, "merge", lambda self: calls.append(self) or contract(self))
    with merged(model) as same:
        assert same is model
        torch.testing.assert_close(model(x), expected)
        assert not model(x).requires_grad
        torch.testing.assert_close(merge_stacked(experts), stacked)
        with merged(model), torch.inference_mode():
            model(x)
        assert experts[0].holds_weight
    assert len(calls) == 4
    assert not experts[0].holds_weight and model(x).requires_grad


def test_merged_is_for_evaluation(model, x):
    convert(model)
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"), merged(model):
        pass
    model.eval()
    model.moe_adaptor.train()
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"), merged(model):
        pass
    model.eval()
    with merged(model):
        with torch.enable_grad(), pytest.raises(RuntimeError, match="no training, no gradients"):
            model(x)
        model.train()
        with pytest.raises(RuntimeError, match="no training, no gradients"):
            model(x)


def test_merged_lets_go_on_exceptions(model):
    convert(model).eval()
    with pytest.raises(KeyError), merged(model):
        raise KeyError
    assert not any(layer.holds_weight for layer in mpo_layers(model).values())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "action",
    [
        lambda layer: layer.expand(1),
        lambda layer: layer.fold_expansion(),
        lambda layer: layer.truncate(max_bond_dim=2),
        lambda layer: layer.canonicalize("symmetric"),
        lambda layer: layer.reset_parameters(),
        lambda layer: layer.double(),
        lambda layer: layer.load_state_dict(layer.state_dict()),
    ],
)
def test_cores_cannot_be_replaced_inside_merged(model, action):
    convert(model).eval()
    layer = model.moe_adaptor.experts[0].lin
    with merged(model):
        with pytest.raises(RuntimeError, match="changes cores whose weight merged"):
            action(layer)
        with pytest.raises(RuntimeError, match=r"merge_mpo cannot replace layers inside merged\(\)"):
            merge_mpo(model)
    action(layer)


def test_held_weights_do_not_leak(model, x):
    convert(model).eval()
    keys, expected = list(model.state_dict()), model(x)
    with merged(model):
        assert list(model.state_dict()) == keys
        twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        assert "moe_adaptor.experts.0.lin.weight" in dense_state_dict(model)
    for twin in twins:
        assert not any(layer.holds_weight for layer in mpo_layers(twin).values())
        torch.testing.assert_close(twin(x), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_merged_weights_are_fresh_after_an_optimizer_step(model, x, fused):
    convert(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=fused)
    outputs = []
    for _ in range(2):
        model.eval()
        with merged(model):
            outputs.append(model(x))
        torch.testing.assert_close(outputs[-1], model(x).detach())
        model.train()
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    assert not torch.allclose(*outputs)


def test_counts_and_their_print(model, capsys):
    convert(model, strategy="light")
    trainable, total = get_nb_trainable_parameters(model)
    assert total == sum(p.numel() for p in model.parameters())
    assert total - trainable == sum(layer.cores[1].numel() for layer in mpo_layers(model).values())
    print_trainable_parameters(model)
    assert capsys.readouterr().out == (
        f"trainable params: {trainable:,d} || all params: {total:,d} || trainable%: {100 * trainable / total:.4f}\n"
    )
