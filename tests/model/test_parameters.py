"""Freezing by group, and the counts that are printed."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.model.parameters import core_names, count_parameters, freeze, group_of, parameter_table
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.trainer.checkpoint import load_checkpoint


@pytest.fixture
def light(tiny_settings):
    return built_run("MPORecLight", "tiny", (), tiny_settings).model


def paper_model(tiny_settings, name, **overrides):
    """A model of the paper's sizes: 768-d features, hidden 300, frozen sequence encoder."""
    paper_sizes = {"hidden_size": 300, "inner_size": 256, "n_exps": 8}
    experiment = built_run(name, "tiny", (), {**tiny_settings, **paper_sizes, **overrides})
    # Scientific's items with BERT features: sizes are all that counting needs.
    scientific = Catalogue(["[PAD]", *map(str, range(4385))], 768, "none")
    model = experiment.spec.build(experiment.config, scientific)
    freeze(model, ["encoder", "positions"])
    return model


# Table 6 of the paper, recomputed exactly; the frozen text table is part of the total.
@pytest.mark.parametrize(
    ("name", "overrides", "total", "trainable"),
    [
        ("UniSRec", {}, 6_278_792, 1_862_232),
        ("MPORec", {}, 6_525_864, 2_109_304),
        ("MPORecLight", {}, 6_525_864, 266_104),
        ("MPORecExpand", {}, 6_608_808, 2_192_248),
        ("MPORecExpand", {"mpo_expand": 2}, 6_608_808, 2_192_248),
        ("MPORecExpand", {"mpo_expand": 4}, 6_691_752, 2_275_192),
        ("MPORecExpand", {"mpo_expand": 6}, 6_774_696, 2_358_136),
    ],
)
def test_parameter_counts_of_table_6(tiny_settings, name, overrides, total, trainable):
    counts = count_parameters(paper_model(tiny_settings, name, **overrides))
    assert (counts["total"], counts["trainable"]) == (total, trainable)
    assert sum(group["total"] for group in counts["by_group"].values()) == total


def test_unisrec_f_freezes_as_published(tiny_settings):
    model = built_run("UniSRec_F", "tiny", (), tiny_settings).model
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    frozen = {name.split(".")[0] for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert trained == {"moe_adaptor", "LayerNorm"}
    assert frozen == {"position_embedding", "trm_encoder"}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("moe_adaptor.experts.0.lin.cores.2", "adaptor"),
        ("text_projection.weight", "adaptor"),
        ("trm_encoder.layer.0.feed_forward.LayerNorm.weight", "encoder"),
        ("LayerNorm.weight", "layer_norm"),
        ("item_embedding.weight", "item_ids"),
        ("evidence.kinds.words.weight", "evidence"),
        ("patches.0.1.up.weight", "patches"),
        ("encoder.layers.0.project.weight", "aggregator"),
        ("gru_layers.weight_ih_l0", "other"),
        ("", "other"),
    ],
)
def test_groups_go_by_the_name(name, group):
    assert group_of(name) == group


def test_cores_are_those_of_mpo_layers_and_never_a_bias(tiny_settings, light):
    assert core_names(light) == {name for name, _ in light.named_parameters() if ".cores." in name} != set()
    assert core_names(built_run("UniSRec", "tiny", (), tiny_settings).model) == set()
    layer = light.moe_adaptor.experts[0].lin
    assert core_names(layer) == {f"cores.{number}" for number in range(5)}


@pytest.mark.parametrize(("name", "groups"), [("UniSRec_F", {"encoder", "positions"}), ("MPORecLight", set())])
def test_a_run_moves_everything_but_what_is_frozen(tiny_settings, name, groups):
    """Frozen tensors keep their bytes over an epoch; all others move."""
    before = built_run(name, "tiny", (), tiny_settings).model.state_dict()
    record = run(name, "tiny", (), {**tiny_settings, "epochs": 1})
    after = load_checkpoint(f"{tiny_settings['checkpoint_dir']}/{record['run_id']}/last.pth")["state_dict"]
    same = {key for key in before if before[key].numpy().tobytes() == after[key].numpy().tobytes()}
    assert same == {key for key in before if group_of(key) in groups or key.endswith("lin.cores.2")}


def test_a_group_the_model_lacks_is_named(tiny_settings):
    model = built_run("UniSRec", "tiny", (), tiny_settings).model
    with pytest.raises(ConfigError, match="freeze names 'item_ids'; this model's groups are adaptor, encoder"):
        freeze(model, ["item_ids"])
    with pytest.raises(ConfigError, match="freeze names '5'; this model's groups are"):
        freeze(model, 5)


@pytest.mark.parametrize(
    ("groups", "frozen"),
    [
        (None, set()),
        ([], set()),
        ("encoder", {"encoder"}),
        (("encoder", "layer_norm"), {"encoder", "layer_norm"}),
    ],
)
def test_one_group_several_or_none_are_frozen(light, groups, frozen):
    before = {name for name, parameter in light.named_parameters() if parameter.requires_grad}
    freeze(light, groups)
    after = {name for name, parameter in light.named_parameters() if parameter.requires_grad}
    assert before - after == {name for name in before if group_of(name) in frozen}


def test_counts_agree_with_the_parameters(light):
    counts = count_parameters(light)
    table = light.item_table.features.numel()
    assert counts["total"] == sum(p.numel() for p in light.parameters()) + table
    assert counts["trainable"] == sum(p.numel() for p in light.parameters() if p.requires_grad)
    assert counts["by_group"]["item_features (frozen text)"] == {"total": table, "trainable": 0}


def test_counts_by_group_tell_cores_from_the_rest(light):
    by_group = count_parameters(light)["by_group"]
    cores = {name: parameter for name, parameter in light.named_parameters() if name in core_names(light)}
    assert by_group["adaptor (cores)"] == {
        "total": sum(parameter.numel() for parameter in cores.values()),
        "trainable": sum(parameter.numel() for parameter in cores.values() if parameter.requires_grad),
    }
    assert list(by_group)[-1] == "item_features (frozen text)" and "adaptor" in by_group


def test_a_model_without_text_has_no_table_to_count():
    class Plain(torch.nn.Linear):
        feature_size = 0

    assert count_parameters(Plain(3, 2)) == {
        "total": 8,
        "trainable": 8,
        "by_group": {"other": {"total": 8, "trainable": 8}},
    }


def test_table_lines_up():
    table = parameter_table({"total": 1234, "trainable": 5, "by_group": {"encoder": {"total": 1234, "trainable": 5}}})
    assert table.splitlines() == [
        "  group    total  trainable",
        "  encoder  1,234          5",
        "  all      1,234          5",
    ]
