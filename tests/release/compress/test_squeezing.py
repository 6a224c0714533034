"""Dimension squeezing: the cheapest cut, exact predictions, fewer entries with each cut, and a stop at the gap."""

import pytest
import torch
from release.compress.tiny_models import tiny_model

from recbole_mpo.layers.mpo import MPOLinear, mpo_layers
from recbole_mpo.release.compress.context import Context, matrices, weight_of
from recbole_mpo.release.compress.mpo_bonds import as_mpo, stored_entries
from recbole_mpo.release.compress.squeezing import Squeezing, is_auxiliary, squeeze


def test_predictions_are_the_errors_and_entries_fall():
    model, context = tiny_model(), Context()
    squeeze(model, 0.3, context)
    note = context.notes["squeeze"]
    assert note["ended_by"] == "size" and note["entries"] <= 0.7 * note["of"]
    entries = [line["entries"] for line in note["history"]]
    assert entries == sorted(entries, reverse=True) and len(set(entries)) == len(entries)
    for line in note["history"]:
        assert line["predicted"] == pytest.approx(line["error"], rel=1e-3, abs=1e-6)
        assert all(new <= old for new, old in zip(line["to"], line["from"], strict=True))


def test_each_cut_is_the_cheapest():
    model = tiny_model()
    squeezing = Squeezing(as_mpo(model))
    cut = squeezing.cheapest()
    for name, layer in squeezing.layers.items():
        for other in squeezing.cuts[name]:
            assert cut.cost <= other.cost
        assert isinstance(layer, MPOLinear)
    before = weight_of(squeezing.layers[cut.layer]).detach()
    line = squeezing.apply(cut)
    after = weight_of(squeezing.layers[cut.layer]).detach()
    assert float((after - before).norm() / before.norm()) == pytest.approx(line["predicted"], rel=1e-3, abs=1e-6)


def test_it_stops_where_quality_drops_and_goes_back():
    scores = iter([1.0, 0.99, 0.5])
    trained = []

    def train(model, context, epochs, is_trained):
        names = [name for name, _ in model.named_parameters() if is_trained(name)]
        assert names and not any(".cores.2" in name for name in names)
        trained.append(sum(stored_entries(layer) for layer in mpo_layers(model).values()))

    context = Context(train=train, score=lambda model: next(scores), epochs=1, largest_drop=0.05)
    model = tiny_model()
    squeeze(model, 0.9, context)
    note = context.notes["squeeze"]
    assert note["ended_by"] == "quality" and len(trained) == 2
    assert [line["valid"] for line in note["history"] if "valid" in line] == [0.99, 0.5]
    # The model is the one of the first training.
    assert note["entries"] == trained[0] > trained[1]


@pytest.mark.parametrize(
    "share, qualities, ended, left", [(0.05, [1.0, 0.5], "quality", 1.0), (0.15, [1.0] * 3, "size", 0.85)]
)
def test_what_was_cut_since_the_last_tenth_is_judged_too(share, qualities, ended, left):
    scores, trained = iter(qualities), []
    context = Context(train=lambda *_: trained.append(1), score=lambda model: next(scores), epochs=1)
    squeeze(tiny_model(), share, context)
    note = context.notes["squeeze"]
    assert note["ended_by"] == ended and "valid" in note["history"][-1] and len(trained) == len(qualities) - 1
    assert note["entries"] <= left * note["of"] and (left == 1.0) == (note["entries"] == note["of"])


def test_auxiliary_cores_are_all_but_the_central_ones():
    layers = as_mpo(tiny_model())
    tests = is_auxiliary(layers)
    name = next(iter(layers))
    assert [tests(f"{name}.cores.{number}") for number in range(5)] == [True, True, False, True, True]
    assert not tests("LayerNorm.weight")


def test_nothing_left_to_cut_is_said():
    model, context = tiny_model(), Context()
    squeeze(model, 0.99, context)
    assert context.notes["squeeze"]["ended_by"] == "no bond left to cut"
    assert all(set(layer.bond_dims) == {1} for layer in matrices(model).values())
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_layers_that_were_cut_too_little_stay_as_they_were():
    model, context = tiny_model(), Context()
    squeeze(model, 0.05, context)
    dense = context.notes["squeeze"]["dense"]
    assert dense and len(dense) < 16
    for name in dense:
        assert torch.equal(matrices(model)[name].weight, matrices(tiny_model())[name].weight)
    stored = sum(
        p.numel() for layer in matrices(model).values() for key, p in layer.named_parameters() if key != "bias"
    )
    assert stored == context.notes["squeeze"]["entries"] <= 0.95 * context.notes["squeeze"]["of"]
