"""Patches in a pre-trained UniSRec: what is trained, where they start, and what is refused."""

import hashlib

import pytest
import torch
from support import RestoredRun, built_run, folder_of

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.quick_start.recorded_run import run


@pytest.fixture
def settings(tiny_settings):
    source = run("UniSRec", "tiny", (), {**tiny_settings, "epochs": 1})
    return {
        **tiny_settings, "adapter": "patches", "patch_reduction": 4,
        "pretrained": str(folder_of(source) / "best.pth"), "learning_rate": 0.01,
    }  # fmt: skip


def hashes(model):
    return {
        name: hashlib.sha256(parameter.detach().numpy().tobytes()).hexdigest()
        for name, parameter in model.named_parameters()
    }


def test_it_starts_at_the_pretrained_function(settings):
    dense = built_run("UniSRec", "tiny", (), {**settings, "adapter": "none", "patch_reduction": 8})
    patched = built_run("UniSRec", "tiny", (), settings)
    interaction = next(iter(patched.loaders[1]))[0]
    scores = [one.model.eval().full_sort_predict(interaction) for one in (dense, patched)]
    assert torch.equal(*scores)


def test_patches_norms_and_gate_are_trained_and_nothing_else_changes(settings):
    before = hashes(built_run("UniSRec", "tiny", (), settings).model)
    record = run("UniSRec", "tiny", (), settings)
    after = hashes(RestoredRun(folder_of(record) / "best.pth").model)
    changed = {name for name in before if before[name] != after[name]}
    layers = [f"trm_encoder.layer.{number}." for number in (0, 1)]
    places = [f"{layer}{part}" for layer in layers for part in ("multi_head_attention", "feed_forward")]
    patches = {
        f"{place}.{'dense' if 'head' in place else 'dense_2'}.patch.{matrix}.{kind}"
        for place in places
        for matrix in ("down", "up")
        for kind in ("weight", "bias")
    }
    of_norms = ["LayerNorm", *(f"{place}.LayerNorm" for place in places)]
    norms = {f"{norm}.{kind}" for norm in of_norms for kind in ("weight", "bias")}
    assert changed == patches | norms | {"moe_adaptor.w_gate", "moe_adaptor.w_noise"}
    groups = record["params"]["by_group"]
    assert groups["patches"]["trainable"] == groups["patches"]["total"] == 4 * (2 * 16 * 4 + 4 + 16)
    assert record["label"] == "UniSRec (patches)"


def test_a_table_of_ids_is_trained_with_them(settings):
    model = built_run("UniSRec", "tiny", (), {**settings, "item_input": "text+id", "id_side": "both"}).model
    assert model.item_embedding.weight.requires_grad and not model.position_embedding.weight.requires_grad


def test_a_connection_of_tasks_is_trained_with_them(settings):
    tasks = {"tasks": ["nip", "si"], "cross_task": "residual"}
    model = built_run("UniSRec", "tiny", (), {**settings, **tasks}).model
    assert all(weight.requires_grad for weight in model.cross_task.parameters())


def test_a_model_that_was_never_trained_is_not_frozen(settings):
    with pytest.raises(ConfigError, match="adapter=patches freezes a model that was never trained"):
        built_run("UniSRec", "tiny", (), {**settings, "pretrained": None}).model  # noqa: B018


def test_patches_without_width_are_refused(settings):
    with pytest.raises(ConfigError, match="patch_reduction 17 is larger than hidden_size 16"):
        built_run("UniSRec", "tiny", (), {**settings, "patch_reduction": 17}).model  # noqa: B018


def test_the_width_of_patches_is_idle_without_them(settings):
    with pytest.raises(ConfigError, match="patch_reduction has no effect without adapter=patches"):
        built_run("UniSRec", "tiny", (), {**settings, "adapter": "none"})
