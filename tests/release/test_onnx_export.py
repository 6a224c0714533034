"""A folder of ONNX graphs: written whole after a comparison with the model, or not at all."""

import json

import numpy as np
import pytest
from fine_tuned import base_of, tuned

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release import folder_files, onnx_export
from recbole_mpo.release.onnx_export import export_onnx
from recbole_mpo.release.recommend import Recommender

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
pytest.importorskip("onnxscript", reason="needs the extra [export]")

NAMES = {"sequence_encoder.onnx", "scoring.onnx", "item_encoder.onnx"}


@pytest.fixture
def light(tiny_settings, tmp_path):
    """File of a checkpoint with MPO layers."""
    return tuned(tiny_settings, tmp_path, base_of(tiny_settings, tmp_path), "light")[0]


@pytest.mark.slow
def test_the_folder_recommends_as_the_checkpoint_does(light, tmp_path):
    export_onnx(light, tmp_path / "graphs")
    names = {path.name for path in (tmp_path / "graphs").iterdir()}
    assert names == {*NAMES, "items.jsonl", "onnx.json", "text.safetensors", "manifest.json"}
    rows = [json.loads(line) for line in (tmp_path / "graphs" / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    tokens = [row["item"] for row in rows]
    recommender = Recommender.from_checkpoint(light)
    assert tokens == recommender.tokens
    encode, score = (
        onnxruntime.InferenceSession(tmp_path / "graphs" / f"{name}.onnx") for name in ("sequence_encoder", "scoring")
    )
    history = ["i1", "i2", "i3"]
    inputs = {"item_seq": np.array([[tokens.index(token) for token in history]]), "lengths": np.array([3])}
    scores = score.run(None, {"query": encode.run(None, inputs)[0]})[0][0]
    scores[[0, *inputs["item_seq"][0]]] = -np.inf
    best = np.argsort(-scores)[:5]
    (expected,) = recommender.recommend([history], 5)
    assert [tokens[row] for row in best] == [item.token for item in expected]
    assert scores[best] == pytest.approx([item.score for item in expected], abs=1e-5)
    description = json.loads((tmp_path / "graphs" / "onnx.json").read_text(encoding="utf-8"))
    assert description["opset"] == 18 and set(description["graphs"]) == NAMES
    assert description["difference"] < 1e-5 and description["candidates"] == len(tokens)
    # The comparison sees a model that differs a little.
    model = recommender.model
    vectors = model.encode_items().detach()
    assert onnx_export.largest_difference(model, vectors, tmp_path / "graphs") < 1e-5
    model.scoring.temperature *= 1.01
    assert onnx_export.largest_difference(model, vectors, tmp_path / "graphs") == pytest.approx(0.01, rel=0.1)
    # The folder may be written again, onto itself.
    folder_files.check_replaceable(tmp_path / "graphs")


def test_graphs_that_differ_are_not_written(light, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "graphs_of", lambda *_: {})
    monkeypatch.setattr(onnx_export, "largest_difference", lambda *_: float("nan"))
    with pytest.raises(CheckpointError, match="compute something else than the model"):
        export_onnx(light, tmp_path / "graphs")
    assert not (tmp_path / "graphs").exists()


def test_other_folders_stay(light, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("notes", encoding="utf-8")
    with pytest.raises(CheckpointError, match="exists and is not of export"):
        export_onnx(light, tmp_path / "mine")
