"""A text model put together from other parts: what it trains on, computes and registers is what its parts say."""

import copy
import importlib
import inspect
import pkgutil

import pytest
import torch
import torch.nn.functional as F
from support import built_run
from torch import nn

import recbole_mpo.model
from recbole_mpo.layers.mpo import convert_to_mpo
from recbole_mpo.model.evidence import make_evidence
from recbole_mpo.model.item_encoder import ItemEncoder, make_text_projection
from recbole_mpo.model.scoring import CosineScoring, InnerProductScoring
from recbole_mpo.model.sequence_encoder import TransformerSequenceEncoder
from recbole_mpo.model.sequential import TextSequentialRecommender

SMALL = "data_path checkpoint_dir cache_dir show_progress use_gpu seed hidden_size text_encoder".split()


class CountedObjective(nn.Module):
    """Remembers the batches it is called with; draws states and item vectors to zero."""

    def __init__(self):
        super().__init__()
        self.batches, self.losses = [], []

    def forward(self, model, batch):
        self.batches.append(batch)
        items, _ = model.inputs_and_targets(batch)
        item_vectors = model.encode_items()
        states = model.predicting_states(item_vectors, items, batch)
        self.losses.append(states.square().mean() + item_vectors.square().mean())
        return self.losses[-1]


class MeanOfItems:
    """The state of a place is the mean of its history's items so far; nothing is trained."""

    modules = {}

    def states(self, item_vectors, items_RL, positions_RL, starts_RL=None, places_W=None):
        rows, length = items_RL.shape
        columns = torch.arange(length)
        starts_RL = columns - positions_RL if starts_RL is None else starts_RL
        seen_RLL = (columns >= starts_RL.unsqueeze(2)) & (columns <= columns.unsqueeze(1))
        weights_RLL = seen_RLL / seen_RLL.sum(dim=2, keepdim=True)
        states_RLD = weights_RLL.to(item_vectors.dtype) @ F.embedding(items_RL, item_vectors)
        return states_RLD if places_W is None else states_RLD.flatten(0, 1)[places_W]


# What is put together here has no scoring of its own for ids.
BOTH = {"text": {}, "text+id": {"id_side": "both"}, "id": {}}


@pytest.fixture(params=["text", "text+id", "id"])
def run(request, tiny_settings):
    """UniSRec on ``tiny``: its settings, data and model, beside which other models are put together."""
    return built_run("UniSRec", "tiny", (), {**tiny_settings, "item_input": request.param, **BOTH[request.param]})


def composed(run, **parts):
    """Return a model of inner products and an objective of the tests' own, but for the given parts."""
    config, train = run.config, run.splits[0]
    ready = {
        "items": ItemEncoder(config, train),
        "sequence": TransformerSequenceEncoder(config),
        "scoring": InnerProductScoring(),
        "objective": CountedObjective(),
    }
    return TextSequentialRecommender(config, train, **{**ready, **parts})


def test_the_loss_is_the_objectives(run):
    model, batch = composed(run), next(iter(run.loaders[0]))
    loss = model.calculate_loss(batch)
    assert model.objective.batches == [batch] and loss is model.objective.losses[0]
    loss.backward()
    assert all(p.grad.any() for name, p in model.named_parameters() if name.endswith(("lin.weight", "_1.weight")))


def test_an_epoch_trains_on_it(run, tmp_path):
    model = composed(run)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainer = run.experiment.trainer(model, tmp_path)
    total = trainer._train_epoch(run.loaders[0], 0)
    assert len(model.objective.batches) == len(run.loaders[0])
    assert total == pytest.approx(sum(loss.item() for loss in model.objective.losses))
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(before[name], parameter)}
    assert moved == before.keys()


def test_names_are_unisrecs_whatever_the_parts(run):
    names = list(run.model.state_dict())
    assert list(composed(run).state_dict()) == names
    scored_otherwise = composed(run, scoring=CosineScoring(0.1))
    assert list(scored_otherwise.state_dict()) == names


def test_the_parts_modules_are_registered_once_and_shared(run):
    model = composed(run)
    for part in (model.items, model.sequence, model.scoring):
        for name, module in part.modules.items():
            assert getattr(model, name) is module
    assert len(list(model.parameters())) == len({id(parameter) for parameter in model.parameters()})


def test_scores_are_those_of_the_scoring(run):
    plain, cosine = composed(run).eval(), composed(run, scoring=CosineScoring(0.5)).eval()
    cosine.load_state_dict(plain.state_dict())
    rows = next(iter(run.loaders[1]))[0]
    vectors = plain.encode_items()
    states = plain.encode_sequences(vectors, rows["item_id_list"], rows["item_length"])
    torch.testing.assert_close(plain.full_sort_predict(rows), states @ vectors.t(), rtol=1e-4, atol=1e-5)
    expected = F.normalize(states, dim=1) @ F.normalize(vectors, dim=1).t() / 0.5
    torch.testing.assert_close(cosine.full_sort_predict(rows), expected, rtol=1e-4, atol=1e-5)


def test_another_sequence_encoder_needs_states_alone(run):
    model = composed(run, sequence=MeanOfItems()).eval()
    heads = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert heads == {name for name in ("moe_adaptor", "item_embedding") if name in run.model._modules}
    rows = next(iter(run.loaders[1]))[0]
    vectors = model.encode_items()
    state = vectors[rows["item_id_list"][0, : rows["item_length"][0]]].mean(dim=0)
    torch.testing.assert_close(model.full_sort_predict(rows)[0], vectors @ state, rtol=1e-4, atol=1e-6)
    batch = next(iter(run.loaders[0]))
    states = model.predicting_states(vectors, batch.items, batch)
    place = int(batch.predicting[-1])
    begin = place - int(batch.positions.flatten()[place])
    torch.testing.assert_close(states[-1], vectors[batch.items.flatten()[begin : place + 1]].mean(dim=0))


def test_another_adaptor_keeps_its_own_name(tiny_settings):
    run = built_run("UniSRec", "tiny", (), tiny_settings)
    model = composed(run, items=ItemEncoder(run.config, run.splits[0], "text_projection", make_text_projection))
    names = {name for name in model.state_dict() if name.startswith("text_projection")}
    assert names == {"text_projection.weight", "text_projection.bias"}
    assert not any(name.startswith("moe_adaptor") for name in model.state_dict())


def test_evidence_beside_them_adds_to_the_scores(tiny_settings):
    run = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": ["covisit"]})
    evidence = make_evidence(run.config, run.splits[0])
    model = composed(run, evidence=evidence).eval()
    assert model.counts_hash == evidence.hash == run.model.counts_hash
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in run.model.named_parameters()]
    rows = next(iter(run.loaders[1]))[0]
    with torch.no_grad():
        with_evidence = model.full_sort_predict(rows)
        model.evidence = None
        assert (with_evidence - model.full_sort_predict(rows)).max() > 0
    assert composed(run).evidence is None and composed(run).counts_hash is None


def classes_of_the_room():
    """All classes that a module of recbole_mpo.model defines."""
    for module in pkgutil.walk_packages(recbole_mpo.model.__path__, "recbole_mpo.model."):
        for _, entry in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if entry.__module__ == module.name:
                yield entry


def overridden_private_methods(entry: type):
    """Private methods that a class defines and that a class of this package above it defines too."""
    for name, method in vars(entry).items():
        is_method = inspect.isfunction(method) or isinstance(method, classmethod | staticmethod | property)
        if not is_method or not name.startswith("_") or name.startswith("__"):
            continue
        for parent in entry.__mro__[1:]:
            if parent.__module__.split(".")[0] == recbole_mpo.__name__ and name in vars(parent):
                yield f"{entry.__name__}.{name} of {parent.__name__}"


def test_no_subclass_overrides_a_private_method():
    """Such a method wanted to be an argument."""
    classes = set(classes_of_the_room())
    assert {TextSequentialRecommender, ItemEncoder, CosineScoring} < classes and len(classes) > 25
    assert [name for entry in classes for name in overridden_private_methods(entry)] == []


def test_the_search_finds_overridden_private_methods():
    class Overriding(TextSequentialRecommender):
        def _encode_rows(self, rows, merged):
            return rows

        def encode_items(self):
            return None

    expected = "Overriding._encode_rows of TextSequentialRecommender"
    assert list(overridden_private_methods(Overriding)) == [expected]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("UniSRec", {"item_input": "text+id"}),
        ("UniSRec", {"item_input": "text+id", "id_side": "both"}),
        ("PeterRec", {"item_input": "text", "train_stage": "finetune", "finetune_mode": "PeterZero"}),
    ],
)
def test_what_replaces_a_registered_module_replaces_it_in_its_part(tiny_settings, name, changes):
    model = built_run(name, "tiny", (), {**{key: tiny_settings[key] for key in SMALL}, **changes}).model
    for part in (model.items, model.sequence, model.scoring):
        for registered, module in list(part.modules.items()):
            setattr(model, registered, copy.deepcopy(module))
            assert part.modules[registered] is getattr(model, registered) is not module


def test_a_converted_projection_is_the_one_that_computes(tiny_settings):
    model = built_run("PeterRec", "tiny", (), {key: tiny_settings[key] for key in SMALL}).model
    before = model.encode_items()
    convert_to_mpo(model, "text_projection", num_cores=3)
    vectors = model.encode_items()
    torch.testing.assert_close(vectors, before, rtol=1e-4, atol=1e-5)
    vectors.sum().backward()
    assert all(core.grad is not None for core in model.text_projection.cores)


def test_weights_that_are_assigned_are_the_ones_that_compute(tiny_settings):
    changes = {"train_stage": "finetune", "finetune_mode": "PeterZero"}
    model = built_run("PeterRec", "tiny", (), {**{key: tiny_settings[key] for key in SMALL}, **changes}).model.eval()
    items, lengths = torch.tensor([[1, 2]]), torch.tensor([2])
    before = model.encode_sequences(model.encode_items(), items, lengths)
    state = {**model.state_dict(), "cls_vector": torch.ones(16)}
    model.load_state_dict(state, assign=True)
    assert not torch.allclose(model.encode_sequences(model.encode_items(), items, lengths), before)
