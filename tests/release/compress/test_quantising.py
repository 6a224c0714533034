"""Weights in fewer bits: what is computed with is what is stored, and nothing is passed over."""

import builtins

import pytest
import torch
from release.compress.tiny_models import scores_of, tiny_model
from torch import nn

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.release.compress.context import Context, matrices, weight_of
from recbole_mpo.release.compress.low_rank_matrices import svd
from recbole_mpo.release.compress.mpo_bonds import mpo
from recbole_mpo.release.compress.quantising import fp16, int4_weights, int8
from recbole_mpo.release.compress.sparsity import prune


@pytest.mark.parametrize("method, error", [(fp16, 0.0005), (int8, 0.01), (int4_weights, 0.15)])
def test_weights_are_those_that_are_stored_and_near_the_former(method, error):
    if method is not fp16:
        pytest.importorskip("torchao")
    model, context = tiny_model(), Context()
    method(model, None, context)
    names = [f"{name}.weight" for name in matrices(model)]
    assert set(names) <= set(context.forms)
    for name, layer in matrices(model).items():
        weight, former = weight_of(layer), matrices(tiny_model())[name].weight
        assert torch.equal(context.forms[f"{name}.weight"].decode(), weight)
        assert 0 < float((weight - former).norm().detach() / former.norm().detach()) < error
    assert not torch.equal(scores_of(model), scores_of(tiny_model()))


def test_int8_and_int4_take_a_quarter_and_an_eighth():
    pytest.importorskip("torchao")
    sizes = {}
    for method in (int8, int4_weights):
        model, context = tiny_model(hidden_size=64, inner_size=64), Context()
        method(model, None, context)
        parts = [part for form in context.forms.values() for part in form.parts.values()]
        entries = sum(layer.weight.numel() for layer in matrices(model).values())
        sizes[method] = sum(part.numel() * part.element_size() for part in parts) / (4 * entries)
    assert sizes[int8] < 0.30
    # Two numbers share a byte; scales come on top.
    assert 0.125 < sizes[int4_weights] < 0.20


@pytest.mark.parametrize("method", [int8, int4_weights])
@pytest.mark.parametrize("before", [svd, mpo, prune])
def test_factors_cores_and_zeros_are_quantised_too(method, before):
    pytest.importorskip("torchao")
    model, context = tiny_model(), Context()
    before(model, 4 if before is mpo else 0.5, context)
    zeros = sum(int((weight_of(layer) == 0).sum()) for layer in matrices(model).values())
    method(model, None, context)
    name = next(name for name in context.forms)
    assert {svd: "inner", mpo: "cores.0", prune: "weight"}[before] in name
    assert sum(int((weight_of(layer) == 0).sum()) for layer in matrices(model).values()) >= zeros


def test_nothing_to_quantise_is_an_error():
    pytest.importorskip("torchao")
    with pytest.raises(ConfigError, match="int8 found no matrix to quantise"):
        int8(nn.Sequential(nn.ReLU()), None, Context())


def test_without_torchao_the_extra_is_named(monkeypatch):
    original = builtins.__import__

    def without(name, *rest, **more):
        if name == "torchao":
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"recbole-mpo\[quant\]"):
        int8(tiny_model(), None, Context())
