"""A held weight: one merge for many uses, no training behind it, and no copy of it."""

import copy

import pytest
import torch

from recbole_mpo.layers.mergeable import MergeableLinear
from recbole_mpo.layers.mpo import MPOLinear
from recbole_mpo.layers.mpo.held_weight import HeldWeight


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return MPOLinear(12, 8, num_cores=3).eval()


def test_a_weight_is_merged_at_every_use_until_it_is_held(layer, monkeypatch):
    merges = []
    merge = MPOLinear.merge
    monkeypatch.setattr(MPOLinear, "merge", lambda self: merges.append(self) or merge(self))
    with torch.no_grad():
        expected = layer.weight
        assert torch.equal(layer.merged_weight(), expected) and len(merges) == 2 and not layer.holds_weight
        layer.hold_weight()
        assert torch.equal(layer.weight, expected) and layer.merged_weight() is layer.weight and len(merges) == 3
        layer.release_weight()
        assert layer.weight is not layer.weight and len(merges) == 5


def test_a_held_weight_refuses_training_and_gradients(layer):
    layer.hold_weight()
    with pytest.raises(RuntimeError, match="no training, no gradients"):
        layer(torch.ones(1, 12))
    with torch.no_grad():
        layer(torch.ones(1, 12))
        layer.train()
        with pytest.raises(RuntimeError, match="no training, no gradients"):
            layer(torch.ones(1, 12))


def test_what_would_leave_a_held_weight_behind_is_refused(layer):
    layer.refuse_while_held("expand")
    layer.hold_weight()
    with pytest.raises(RuntimeError, match=r"^expand changes cores whose weight merged\(\) holds: leave its block"):
        layer.refuse_while_held("expand")
    with pytest.raises(RuntimeError, match="moving or casting the layer changes cores"):
        layer.double()


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.expand(1),
        lambda layer: layer.fold_expansion(),
        lambda layer: layer.truncate(max_bond_dim=2),
        lambda layer: layer.canonicalize("symmetric"),
        lambda layer: layer.load_state_dict(layer.state_dict()),
    ],
    ids=["expand", "fold_expansion", "truncate", "canonicalize", "loading a checkpoint"],
)
def test_every_change_of_the_cores_is_refused_while_their_weight_is_held(layer, change, request):
    layer.hold_weight()
    with pytest.raises(RuntimeError, match=f"^{request.node.callspec.id} changes cores whose weight merged"):
        change(layer)
    layer.release_weight()
    change(layer)


def test_a_copy_and_a_state_dict_hold_none(layer):
    keys = list(layer.state_dict())
    layer.hold_weight()
    assert not copy.deepcopy(layer).holds_weight and layer.holds_weight
    assert list(layer.state_dict()) == keys


def test_it_declares_its_layer_mergeable():
    assert issubclass(HeldWeight, MergeableLinear)
    with pytest.raises(NotImplementedError):
        HeldWeight().merge()
