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
from recbole_mpo.release.folder_files import MANIFEST, write_manifest

CONFIG = {
    "dataset": "tiny", "data_path": "/home/me/data", "pretrained": "/home/me/x.pth", "mpo_num_cores": 5,
    "hidden_size": 20, "inner_size": 16, "n_exps": 4, "n_heads": 2, "text_encoder": "/home/me/minilm,tfidf-svd",
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
    assert json.loads(text)["config"]["text_encoder"] == "minilm,tfidf-svd"
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


def copied_anew(folder, name, content: bytes):
    """Replace a file as if it had been written so."""
    (folder / name).write_bytes(content)
    write_manifest(folder, json.loads((folder / MANIFEST).read_text())["files"])


class TestMixedFiles:
    """Files of several variants, which can fit together, are not read as one model."""

    @pytest.fixture
    def other(self, tmp_path, written):
        """The folder of a model of the same shapes."""
        model = tiny_model()
        drop_experts(model, 0.5, Context())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
        write_compressed(tmp_path / "other", model, Context(), CONFIG, "experts:0.5")
        return tmp_path / "other"

    @pytest.mark.parametrize(
        "name, cached",
        [("items", True), ("encoder", True), ("encoder", False), ("adaptor", False)],
    )
    def test_tensors_of_another_variant(self, written, other, name, cached):
        folder, file = written[0], f"{name}.safetensors"
        content = (other / file).read_bytes()
        assert content != (folder / file).read_bytes()
        (folder / file).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{file} is not what was written, its size or sha256 differs"):
            load_compressed(folder, cached)
        # It is the hash alone that tells: the tensors fit.
        copied_anew(folder, file, content)
        load_compressed(folder, cached)

    def test_tokens_in_another_order(self, written):
        path = written[0] / "item_tokens.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "item_tokens": content["item_tokens"][::-1]}))
        with pytest.raises(CheckpointError, match="item_tokens.json is not what was written"):
            load_compressed(written[0])

    def test_settings_that_were_edited(self, written):
        path = written[0] / "compressed.json"
        path.write_text(path.read_text().replace('"experts:0.5"', '"experts:0.4"'))
        with pytest.raises(CheckpointError, match="compressed.json is not what was written"):
            load_compressed(written[0])

    def test_a_folder_without_hashes(self, written):
        (written[0] / MANIFEST).unlink()
        with pytest.raises(CheckpointError, match="has no manifest.json .* compress the checkpoint again"):
            load_compressed(written[0])

    def test_files_that_are_not_read_may_be_absent(self, written):
        folder, model = written
        for name in ("adaptor", "features"):
            (folder / f"{name}.safetensors").unlink()
        assert torch.equal(scores_of(load_compressed(folder)), scores_of(model))


class TestDamage:
    def test_a_missing_file(self, written, tmp_path):
        (written[0] / "encoder.safetensors").unlink()
        with pytest.raises(CheckpointError, match="encoder.safetensors is missing; copy the whole folder"):
            load_compressed(written[0])
        with pytest.raises(CheckpointError, match="compressed.json cannot be read: No such file"):
            load_compressed(tmp_path / "nowhere")

    def test_a_cut_file(self, written):
        name = "items.safetensors"
        copied_anew(written[0], name, (written[0] / name).read_bytes()[:100])
        with pytest.raises(CheckpointError, match="items.safetensors is missing or damaged"):
            load_compressed(written[0])

    def test_files_of_different_models(self, written, tmp_path):
        other = tiny_model(n_layers=1)
        write_compressed(tmp_path / "other", other, Context(), {**CONFIG, "n_layers": 1}, "")
        name = "encoder.safetensors"
        copied_anew(written[0], name, (tmp_path / "other" / name).read_bytes())
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
        copied_anew(written[0], name, content.encode())
        with pytest.raises(CheckpointError, match=f"{name} is damaged"):
            load_compressed(written[0])

    def test_an_unknown_layer_or_head(self, written):
        name = "compressed.json"
        content = json.loads((written[0] / name).read_text())
        layers = {**content["layers"], "nowhere.lin": "linear"}
        copied_anew(written[0], name, json.dumps({**content, "layers": layers}).encode())
        with pytest.raises(CheckpointError, match="layer nowhere.lin of the compressed model cannot be made"):
            load_compressed(written[0])
        copied_anew(written[0], name, json.dumps({**content, "heads": {"nowhere": 1}}).encode())
        with pytest.raises(CheckpointError, match="lacks attention nowhere"):
            load_compressed(written[0])
