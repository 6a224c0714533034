"""ONNX graphs compute what the model does, whatever the number of histories and their length."""

import numpy as np
import pytest
import torch
from fine_tuned import STRATEGIES
from support import built_run

from recbole_mpo.common.errors import CheckpointError, DependencyError
from recbole_mpo.release import onnx_graphs
from recbole_mpo.release.dense_twin import dense_twin
from recbole_mpo.release.onnx_graphs import OPSET, check_model, graphs_of

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
pytest.importorskip("onnxscript", reason="needs the extra [export]")

TOLERANCE = 1e-5
OTHERS = {
    "dense": {"model": "UniSRec"},
    "ids at both sides": {"model": "UniSRec", "item_input": "text+id", "id_side": "both"},
    "ids alone": {"model": "SASRecCE"},
    "several tasks": {"model": "UniSRec", "tasks": ["nip", "ss"], "cross_task": "residual"},
}
CHOICES = {**{name: STRATEGIES[name] for name in ("light", "lora", "ids")}, **OTHERS}
# Tracing takes several seconds, so the fast suite does it once.
slow_but_one = [pytest.param(name, marks=() if name == "dense" else pytest.mark.slow) for name in CHOICES]


def built(settings, model="UniSRec", **others):
    """A dense model whose parameters are all random, as after training, and its item vectors."""
    if model == "SASRecCE":
        settings = {key: value for key, value in settings.items() if key not in ("text_encoder", "n_exps")}
    others.pop("freeze", None)
    run = built_run(model, "tiny", (), {**settings, **others})
    trained = run.model
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
        dense = dense_twin(trained.eval(), run.config).eval()
        return dense, dense.encode_items()


def sessions(graphs):
    return {name: onnxruntime.InferenceSession(graph.SerializeToString()) for name, graph in graphs.items()}


def far(array, expected):
    return np.abs(array - expected.numpy()).max() / max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("choice", slow_but_one)
def test_graphs_compute_what_the_model_does(tiny_settings, choice):
    model, vectors = built(tiny_settings, **CHOICES[choice])
    graphs = graphs_of(model, vectors)
    assert all(graph.opset_import[0].version == OPSET for graph in graphs.values())
    assert ("item_encoder" in graphs) == model.uses_text
    run = sessions(graphs)
    draw = np.random.default_rng(0)
    for batch in (1, 256):
        for length in (1, 7, 50):
            item_seq = draw.integers(1, len(vectors), (batch, length))
            lengths = draw.integers(1, length + 1, batch)
            item_seq[np.arange(length) >= lengths[:, None]] = 0
            query = run["sequence_encoder"].run(None, {"item_seq": item_seq, "lengths": lengths})[0]
            scores = run["scoring"].run(None, {"query": query})[0]
            with torch.no_grad():
                states = model.encode_sequences(vectors, torch.from_numpy(item_seq), torch.from_numpy(lengths))
                expected = model.queries(states)
                assert far(query, expected) < TOLERANCE
                assert far(scores, model.score(states, vectors)) < TOLERANCE
            assert scores.shape == (batch, len(vectors))
    if model.scores_text_alone:
        check_that_new_items_join_the_tables(model, vectors, run)


@torch.no_grad()
def check_that_new_items_join_the_tables(model, vectors, run):
    for count in (1, 5):
        features = torch.randn(count, model.feature_size)
        new, scored = run["item_encoder"].run(None, {"features": features.numpy()})
        more = torch.cat([vectors, model.encode_features(features)])
        item_seq, lengths = torch.tensor([[3, len(vectors)]]), torch.tensor([2])
        states = model.encode_sequences(more, item_seq, lengths)
        assert far(new, more[len(vectors) :]) < TOLERANCE
        inputs = {"item_seq": item_seq.numpy(), "lengths": lengths.numpy()}
        longer = np.concatenate([vectors.numpy(), new])
        query = run["sequence_encoder"].run(None, {**inputs, "item_vectors": longer})[0]
        candidates = np.concatenate([model.candidates(vectors).numpy(), scored])
        scores = run["scoring"].run(None, {"query": query, "candidates": candidates})[0]
        assert far(scores, model.score(states, more)) < TOLERANCE
        # Without the longer table the new item does not exist.
        with pytest.raises(Exception, match="out of data bounds|out of bounds"):
            run["sequence_encoder"].run(None, inputs)


def test_what_graphs_cannot_compute_is_refused(tiny_settings, monkeypatch):
    run = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": ["covisit"]})
    with pytest.raises(CheckpointError, match=r"a.pth has evidence \(covisit\), which ONNX graphs do not hold"):
        check_model(run.model, torch.zeros(2, 2), "a.pth")
    model, vectors = built(tiny_settings)
    check_model(model, vectors, "a.pth")
    monkeypatch.setattr(onnx_graphs, "MOST_BYTES", 100)
    with pytest.raises(CheckpointError, match="a.pth has 31 items, whose vectors are more than 2 GB"):
        check_model(model, vectors, "a.pth")
    with pytest.raises(CheckpointError, match="a.pth is of Linear, and ONNX graphs are for models with"):
        check_model(torch.nn.Linear(1, 1), vectors, "a.pth")


def test_absent_packages_are_named(monkeypatch):
    monkeypatch.setattr(onnx_graphs, "is_installed", lambda name: name != "onnxruntime")
    with pytest.raises(DependencyError, match=r"ONNX needs onnxruntime: pip install recbole-mpo\[export\]"):
        onnx_graphs.check_packages()
