"""Linear layers matched by name, and put where others were."""

import pytest
from torch import nn

from recbole_mpo.layers.replace import matching_linears, place


@pytest.fixture
def model():
    experts = nn.ModuleList(nn.ModuleDict({"lin": nn.Linear(4, 3), "norm": nn.LayerNorm(4)}) for _ in range(2))
    return nn.ModuleDict({"experts": experts, "head": nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))})


LINEARS = ["experts.0.lin", "experts.1.lin", "head.0", "head.2"]


@pytest.mark.parametrize(
    ("targets", "excluded", "expected"),
    [
        ("all-linear", None, LINEARS),
        ("all-linear", "head.*", LINEARS[:2]),
        ("all-linear", ["experts.0.lin", "2"], LINEARS[1:3]),
        ("lin", None, LINEARS[:2]),
        (["experts.*.lin"], "1.lin", LINEARS[:1]),
        (["head.0", "experts.1.lin"], None, LINEARS[1:3]),
        (["head.[!0]"], None, LINEARS[3:]),
    ],
)
def test_layers_are_matched_by_name_ending_or_pattern(model, targets, excluded, expected):
    matching = matching_linears(model, targets, excluded)
    assert list(matching) == expected
    assert all(matching[name] is model.get_submodule(name) for name in expected)


@pytest.mark.parametrize(("targets", "excluded"), [("li", None), (["experts", "norm"], None), ("head.*", "head.*")])
def test_no_match_lists_the_linear_layers(model, targets, excluded):
    with pytest.raises(ValueError, match="match no linear layer; the model's linear layers: " + ", ".join(LINEARS)):
        matching_linears(model, targets, excluded)


def test_a_model_that_is_itself_a_layer_has_none():
    with pytest.raises(ValueError, match="the model's linear layers: none"):
        matching_linears(nn.Linear(2, 2), "all-linear")


def test_a_layer_used_twice_is_matched_under_both_names(model):
    model["again"] = model["head"][0]
    matching = matching_linears(model, ["head.0", "again"])
    assert list(matching) == ["head.0", "again"] and matching["again"] is matching["head.0"]


def test_a_module_is_placed_at_any_depth(model):
    layers = {name: nn.Linear(1, 1) for name in ("experts.1.lin", "head.2")}
    for name, layer in layers.items():
        place(model, name, layer)
        assert model.get_submodule(name) is layer
    shallow = nn.Module()
    shallow.layer = nn.Linear(1, 1)
    place(shallow, "layer", layers["head.2"])
    assert shallow.layer is layers["head.2"]
    with pytest.raises(AttributeError):
        place(model, "experts.1.nowhere.lin", nn.Linear(1, 1))
