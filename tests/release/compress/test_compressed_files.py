"""Files of compressed models: what they say, what is in which, and damaged ones."""

import json

import pytest
import torch
from release.compress.tiny_models import ITEMS, scores_of, tiny_model
from safetensors.torch import load_file

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.release.compress.compressed_files import (
    ARTEFACTS,
    artefact_bytes,
    load_compressed,
    write_compressed,
)
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.item_tables import item_pca
from recbole_mpo.release.compress.slicing import drop_experts

CONFIG = {
    "dataset": "tiny", "data_path": "/home/me/data", "pretrained": "/home/me/x.pth", "mpo_num_cores": 5,
    "hidden_size": 20, "inner_size": 16, "n_exps": 4, "n_heads": 2, "text_encoder": "tfidf-svd",
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """A folder of a model, and the model."""
    model = tiny_model()
    drop_experts(model, 0.5, Context())
    write_compressed(tmp_path / "out", model, Context(), CONFIG, "experts:0.5")
    return tmp_path / "out", model


@pytest.mark.parametrize("cached", [True, False])
def test_a_model_that_was_read_scores_the_same(written, cached):
    folder, model = written
    read = load_compressed(folder, cached)
    assert torch.equal(scores_of(read), scores_of(model))
    assert not read.training and list(read.item_tokens) == list(model.item_tokens)
    assert ("moe_adaptor" in str(read.state_dict().keys())) != cached


def test_the_description_names_no_place(written):
    text = (written[0] / "compressed.json").read_text()
    assert "/home/me" not in text and "mpo_" not in text
    assert json.loads(text)["experts"] == 2 and json.loads(text)["method"] == "experts:0.5"


def test_each_file_has_its_part(written):
    folder, _ = written
    names = {file.stem: set(load_file(file)) for file in folder.glob("*.safetensors")}
    assert names["items"] == {"item_store.table"} and names["features"] == {"features", "is_empty"}
    assert all(name.startswith("moe_adaptor.") for name in names["adaptor"])
    assert all(name.startswith(("trm_encoder", "position", "LayerNorm")) for name in names["encoder"])
    sizes = artefact_bytes(folder)
    for artefact, files in ARTEFACTS.items():
        assert sizes[artefact] == sum((folder / name).stat().st_size for name in files)
    assert sizes["items"] == pytest.approx(4 * 20 * ITEMS, abs=200)


def test_the_adaptor_is_kept_beside_stored_vectors(tmp_path):
    model = tiny_model()
    whole = scores_of(model)
    item_pca(model, 0.5, Context())
    write_compressed(tmp_path, model, Context(), CONFIG, "item-pca:0.5")
    assert torch.equal(scores_of(load_compressed(tmp_path)), scores_of(model))
    assert torch.equal(scores_of(load_compressed(tmp_path, cached=False)), whole)


class TestDamage:
    def test_a_missing_file(self, written, tmp_path):
        (written[0] / "encoder.safetensors").unlink()
        with pytest.raises(CheckpointError, match="encoder.safetensors is missing or damaged"):
            load_compressed(written[0])
        with pytest.raises(CheckpointError, match="compressed.json cannot be read: No such file"):
            load_compressed(tmp_path / "nowhere")

    def test_a_cut_file(self, written):
        path = written[0] / "items.safetensors"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(CheckpointError, match="items.safetensors is missing or damaged"):
            load_compressed(written[0])

    def test_files_of_different_models(self, written, tmp_path):
        other = tiny_model(n_layers=1)
        write_compressed(tmp_path / "other", other, Context(), {**CONFIG, "n_layers": 1}, "")
        (written[0] / "encoder.safetensors").write_bytes((tmp_path / "other" / "encoder.safetensors").read_bytes())
        with pytest.raises(CheckpointError, match="cannot be made|other tensors"):
            load_compressed(written[0])

    @pytest.mark.parametrize("change", [{"format_version": 2}, {"format_version": None}])
    def test_a_later_format(self, written, change):
        path = written[0] / "compressed.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(CheckpointError, match="format that this version does not read"):
            load_compressed(written[0])

    @pytest.mark.parametrize("name", ["compressed.json", "item_tokens.json"])
    @pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format_version": 1}'])
    def test_no_such_json(self, written, name, content):
        (written[0] / name).write_text(content)
        with pytest.raises(CheckpointError, match=f"{name} is damaged"):
            load_compressed(written[0])

    def test_an_unknown_layer_or_head(self, written):
        path = written[0] / "compressed.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "layers": {**content["layers"], "nowhere.lin": "linear"}}))
        with pytest.raises(CheckpointError, match="layer nowhere.lin of the compressed model cannot be made"):
            load_compressed(written[0])
        path.write_text(json.dumps({**content, "heads": {"nowhere": 1}}))
        with pytest.raises(CheckpointError, match="lacks attention nowhere"):
            load_compressed(written[0])
