"""MPORec and its variants: the dense model at the start, its cores in training, dense weights again when merged."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.layers.mpo.convert import merge_mpo, merged, mpo_layers
from recbole_mpo.model.mporec import DEFAULT_EXPAND, MPORec, MPORecExpand, MPORecLight
from recbole_mpo.model.parameters import core_names
from recbole_mpo.model.unisrec import UniSRec


def test_light_trains_every_core_but_the_central_one(tiny_settings):
    model = built_run("MPORecLight", "tiny", (), tiny_settings).model
    cores = {name: p.requires_grad for name, p in model.named_parameters() if ".cores." in name}
    assert cores and all(trained == (not name.endswith(".cores.2")) for name, trained in cores.items())


def test_id_input_has_nothing_to_factorise(tiny_settings):
    experiment = built_run("MPORec", "tiny", (), {**tiny_settings, "item_input": "id"})
    with pytest.raises(ConfigError, match="mpo_.*moe_adaptor"):
        experiment.model  # noqa: B018


@pytest.mark.parametrize("name", ["MPORec", "MPORecExpand"])
def test_starts_as_the_dense_model_of_the_same_seed(tiny_settings, name):
    dense = built_run("UniSRec", "tiny", (), tiny_settings)
    factorised = built_run(name, "tiny", (), tiny_settings)
    rows = next(iter(dense.loaders[1]))[0]
    expected = dense.model.eval().full_sort_predict(rows)
    assert (factorised.model.eval().full_sort_predict(rows) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("target_modules", [["moe_adaptor.experts.*.lin"], "all-linear"])
def test_merged_scores_are_the_unmerged_ones(tiny_settings, target_modules):
    settings = {**tiny_settings, "mpo_target_modules": target_modules, "mpo_expand": 2}
    experiment = built_run("MPORecExpand", "tiny", (), settings)
    model = experiment.model.eval()
    rows = next(iter(experiment.loaders[1]))[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
        expected = model.full_sort_predict(rows)
        with merged(model):
            assert (model.full_sort_predict(rows) - expected).abs().max() <= 1e-5
        assert (merge_mpo(model).full_sort_predict(rows) - expected).abs().max() <= 1e-5
    assert set(model.state_dict()) == set(built_run("UniSRec", "tiny", (), tiny_settings).model.state_dict())


def test_unknown_choices_are_named(tiny_settings):
    for overrides, message in [
        ({"item_input": "texts"}, "item_input is 'texts'; choose one of text, text\\+id, id"),
        ({"mpo_strategy": "lite"}, "mpo_strategy is 'lite'; choose one of full, light, expand"),
        ({"mpo_expand": 4}, "mpo_expand is set to 4, but mpo_strategy is 'full'"),
        ({"mpo_strategy": "light", "mpo_num_cores": 4}, "odd"),
        ({"mpo_in_factors": [2, 2, 2, 2, 2]}, "32"),
        ({"freeze": ["encoders"]}, "freeze names 'encoders'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            built_run("MPORec", "tiny", (), {**tiny_settings, **overrides}).model  # noqa: B018


def test_inserted_cores_share_the_cores_learning_rate(tiny_settings):
    model = built_run("MPORecExpand", "tiny", (), tiny_settings).model
    expansion = {name for name, _ in model.named_parameters() if ".expansion." in name}
    assert len(expansion) == 2 * 2  # two experts, two inserted cores each
    assert expansion <= core_names(model)


def test_the_variants_are_names_over_one_class():
    for variant in (MPORecLight, MPORecExpand):
        assert variant.__bases__ == (MPORec,) and not {name for name in vars(variant) if not name.startswith("__")}
    assert MPORec.__bases__ == (UniSRec,)


def test_only_what_is_asked_for_is_factorised(tiny_settings):
    model = built_run("MPORec", "tiny", (), tiny_settings).model
    assert list(mpo_layers(model)) == ["moe_adaptor.experts.0.lin", "moe_adaptor.experts.1.lin"]
    every = built_run("MPORec", "tiny", (), {**tiny_settings, "mpo_target_modules": "all-linear"}).model
    assert not [name for name, module in every.named_modules() if type(module) is torch.nn.Linear]
    by_id = {**tiny_settings, "item_input": "id", "mpo_target_modules": "all-linear"}
    assert all(name.startswith("trm_encoder.") for name in mpo_layers(built_run("MPORec", "tiny", (), by_id).model))


@pytest.mark.parametrize(("expand", "inserted"), [(None, DEFAULT_EXPAND), (4, 4)])
def test_inserted_cores_are_two_unless_said_otherwise(tiny_settings, expand, inserted):
    model = built_run("MPORecExpand", "tiny", (), {**tiny_settings, "mpo_expand": expand}).model
    assert {len(layer.expansion) for layer in mpo_layers(model).values()} == {inserted}


def test_the_shape_is_that_of_the_settings(tiny_settings):
    cut = {"mpo_num_cores": 3, "mpo_max_bond_dim": 2}
    for layer in mpo_layers(built_run("MPORec", "tiny", (), {**tiny_settings, **cut}).model).values():
        assert len(layer.cores) == 3 and max(core.shape[-1] for core in layer.cores) <= 2
