"""Export to the layout of UniSRec's published code: its names and shapes, plain to read, and the same scores back."""

import pickletools

import pytest
import torch
from published import SIZES, PublishedNetwork, names_and_shapes, parts_of, write_published
from support import LetterEncoder, RestoredRun, built_run, folder_of

from recbole_mpo.common.errors import CheckpointError
from recbole_mpo.quick_start.pretrain import pretrain
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.merge import merge_checkpoint
from recbole_mpo.release.unisrec_layout import NAMES, unisrec_layout
from recbole_mpo.trainer import checkpoint

OF_TINY = {**SIZES, "plm_size": 20}


@pytest.fixture
def settings(tiny_settings, monkeypatch):
    LetterEncoder.replace_all(monkeypatch)
    return {**tiny_settings, "epochs": 1}


@pytest.fixture
def exported(settings, tmp_path):
    """Trains a model and exports it; returns its checkpoint and the exported file."""

    def export(model, **changes):
        record = run(model, "tiny", (), {**settings, **changes})
        source, output = folder_of(record) / "best.pth", tmp_path / "exported.pth"
        merge_checkpoint(source, output, layout="unisrec")
        return source, output

    return export


def scores(one) -> torch.Tensor:
    rows = next(iter(one.loaders[1]))[0]
    return one.model.eval().full_sort_predict(rows)


@pytest.mark.parametrize("model", ["UniSRec", "UniSRec_F", "MPORec", "MPORecLight", "MPORecExpand", "LoRA"])
def test_names_and_shapes_are_the_published_ones(exported, model):
    _, output = exported(model)
    state = torch.load(output, weights_only=True)
    assert {name: tuple(weight.shape) for name, weight in state["state_dict"].items()} == names_and_shapes(OF_TINY)
    assert {weight.dtype for weight in state["state_dict"].values()} == {torch.float32}
    assert state["other_parameter"] is None and state["epoch"] == 0 and state["merged_from"] == model
    PublishedNetwork(OF_TINY).load_state_dict(state["state_dict"])


def test_settings_are_plain_and_name_sizes_as_the_published_code_does(exported):
    _, output = exported("MPORec")
    state = torch.load(output, weights_only=True)
    config = state["config"]
    published = {"plm_size": 20, "adaptor_layers": [20, 16], "train_stage": "inductive_ft", "model": "UniSRec"}
    assert {key: config[key] for key in published} == published and config["dataset"] == "tiny"
    assert {key: config[key] for key in ("n_layers", "n_heads", "n_exps", "temperature")} == {
        "n_layers": 2, "n_heads": 2, "n_exps": 2, "temperature": 0.07,
    }  # fmt: skip
    assert not any(key.startswith(("mpo_", "lora_")) for key in config)
    # Nothing in the file needs more than torch to be read.
    names = {
        str(argument) for code, argument, _ in pickletools.genops(parts_of(output)["data.pkl"]) if code.name == "GLOBAL"
    }
    assert names == {"torch FloatStorage", "torch._utils _rebuild_tensor_v2", "collections OrderedDict"}


@pytest.mark.parametrize("model", ["UniSRec", "MPORec", "MPORecLight", "LoRA"])
def test_the_file_comes_back_with_the_same_scores(exported, settings, caplog, model):
    source, output = exported(model)
    expected = scores(RestoredRun(source))
    again = built_run("UniSRec", "tiny", (), {**settings, "pretrained": str(output)})
    if model == "UniSRec":
        assert torch.equal(scores(again), expected)
    else:
        torch.testing.assert_close(scores(again), expected, atol=1e-4, rtol=1e-4)
        own = output.with_name("own.pth")
        merge_checkpoint(source, own)
        assert torch.equal(scores(again), scores(RestoredRun(own)))
    assert "was trained with" not in caplog.text


def test_the_published_network_computes_the_same(exported):
    source, output = exported("MPORec")
    restored, network = RestoredRun(source), PublishedNetwork(OF_TINY).eval()
    network.load_state_dict(torch.load(output, weights_only=True)["state_dict"])
    rows = next(iter(restored.loaders[1]))[0]
    histories = rows[restored.model.ITEM_SEQ], rows[restored.model.ITEM_SEQ_LEN]
    computed = network.cosines(restored.dataset.item_features(), *histories) / 0.07
    torch.testing.assert_close(computed, scores(restored), atol=1e-4, rtol=1e-4)


def test_ids_are_exported_too(exported):
    source, output = exported("MPORec", item_input="text+id", id_side="both")
    state = torch.load(output, weights_only=True)
    assert state["config"]["train_stage"] == "transductive_ft"
    assert state["state_dict"].keys() - names_and_shapes(OF_TINY) == {"item_embedding.weight"}
    table = checkpoint.load_checkpoint(source)["state_dict"]["item_embedding.weight"]
    assert torch.equal(state["state_dict"]["item_embedding.weight"], table)


def test_what_pretrain_wrote_can_be_exported(settings, tmp_path):
    pretrain("MPORec", ["tiny"], tmp_path / "weights.pth", (), settings)
    merge_checkpoint(tmp_path / "weights.pth", tmp_path / "exported.pth", layout="unisrec")
    state = torch.load(tmp_path / "exported.pth", weights_only=True)
    assert {name: tuple(weight.shape) for name, weight in state["state_dict"].items()} == names_and_shapes(OF_TINY)


def test_a_published_file_goes_through_training_and_back(settings, tmp_path):
    network = PublishedNetwork(OF_TINY)
    path = write_published(tmp_path / "published.pth", network.state_dict())
    start = {"pretrained": str(path), "epochs": 0, "feature_center": False, "feature_scale": False}
    record = run("UniSRec", "tiny", (), {**settings, **start})
    merge_checkpoint(folder_of(record) / "best.pth", tmp_path / "back.pth", layout="unisrec")
    back = torch.load(tmp_path / "back.pth", weights_only=True)["state_dict"]
    assert back.keys() == network.state_dict().keys()
    assert all(torch.equal(back[name], weight) for name, weight in network.state_dict().items())


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ("UniSRec", {"evidence": ["covisit"]}, "has weights that UniSRec's layout has no place for: evidence."),
        ("UniSRec", {"item_input": "id"}, "has no text adaptor, which UniSRec's layout needs"),
        ("UniSRec", {"adapter": "patches", "pretrained": "dense.pth"}, "no place for: trm_encoder.layer.{0,1}.feed"),
        # It has UniSRec's names, but scores with inner products.
        ("SASRecCE", {"item_input": "text"}, "is of SASRecCE, and UniSRec's layout is for UniSRec, MPORec and LoRA"),
    ],
)
def test_models_that_the_layout_has_no_place_for(exported, settings, tmp_path, model, changes, said):
    write_published(tmp_path / "dense.pth", PublishedNetwork(OF_TINY).state_dict())
    with pytest.raises(CheckpointError) as caught:
        exported(model, **changes)
    assert said in str(caught.value) and not (tmp_path / "exported.pth").exists()


def test_an_exported_file_is_for_starting_alone_and_is_replaced_by_merge(exported, settings):
    source, output = exported("MPORec")
    with pytest.raises(CheckpointError, match="holds weights but no settings; start a run from it with --pretrained"):
        RestoredRun(output)
    merge_checkpoint(source, output, layout="unisrec")
    merge_checkpoint(source, output)
    assert checkpoint.load_checkpoint(output)["model"] == "UniSRec"


class TestContent:
    WEIGHTS = {name: torch.zeros(shape) for name, shape in names_and_shapes(OF_TINY).items()}

    def test_weights_of_tasks_are_left_out(self):
        weights = {**self.WEIGHTS, "objective.projection.weight": torch.zeros(1)}
        content = unisrec_layout(weights, {"seed": 1}, 4, "a.pth")
        assert content["state_dict"].keys() == self.WEIGHTS.keys()
        assert (content["epoch"], content["config"]["seed"], content["other_parameter"]) == (4, 1, None)

    @pytest.mark.parametrize("other", ["trm_encoder.layer.0.multi_head_attention.dense.patch.up.weight", "LayerNorm.x"])
    def test_other_names_are_refused(self, other):
        with pytest.raises(CheckpointError, match=f"a.pth has weights that .* no place for: {other}"):
            unisrec_layout({**self.WEIGHTS, other: torch.zeros(1)}, {}, 0, "a.pth")

    def test_every_published_name_has_its_place(self):
        assert all(NAMES.fullmatch(name) for name in (*self.WEIGHTS, "item_embedding.weight"))
