"""properties/schema.yaml: rows that can be read, groups that are those of the registry, and who uses what."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property, property_root
from recbole_mpo.common.schema import for_model, parse_schema, read_schema, recbole_model_settings, settings_of
from recbole_mpo.common.values import read_yaml, text_keys
from recbole_mpo.layers.convolution import PATCH_FORMS
from recbole_mpo.layers.cross_task import EXCHANGES, FUSIONS
from recbole_mpo.layers.mpo import EXPANSION_INITS, GAUGES, STRATEGIES
from recbole_mpo.model.baselines.ccdr import AGGREGATORS, LEVELS
from recbole_mpo.model.baselines.peterrec_network import MODES, STAGES
from recbole_mpo.model.item_encoder import ITEM_INPUTS
from recbole_mpo.model.task_weighting import WEIGHTINGS
from recbole_mpo.model.tasks import DIVISORS
from recbole_mpo.quick_start.registry import OWN_MODELS, recbole_model_names
from recbole_mpo.trainer.trimmed_batches import TRIMMED_MODELS

SCHEMA = read_schema()
MODELS = [*OWN_MODELS, *recbole_model_names()]


def schema_of(**rows):
    return parse_schema({"groups": {"own": ["Ours"], "few": ["Ours", "SASRec"]}, "settings": rows})


class TestRows:
    @pytest.mark.parametrize("name", SCHEMA.settings)
    def test_say_what_the_setting_is_in_one_sentence(self, name):
        says = SCHEMA.settings[name].says
        assert says.endswith(".") and "|" not in says and "\n" not in says
        assert says[0].isupper() or says[0] == "`" or says.startswith("cuDNN")

    @pytest.mark.parametrize("name", SCHEMA.settings)
    def test_have_likes_that_the_refused_model_uses(self, name):
        for model in MODELS:
            like = SCHEMA._entry_for(SCHEMA.settings[name].instead, model)
            if like and not SCHEMA.uses(model, name):
                assert SCHEMA.uses(model, like) or SCHEMA.is_recboles(model)

    @pytest.mark.parametrize("name", SCHEMA.settings)
    def test_worth_trying_are_values_of_models_that_use_it(self, name):
        for entry in SCHEMA.settings[name].tune_for:
            assert SCHEMA.declares(entry, name)

    def test_for_recboles_own_settings_only_check_values(self):
        recbole = parse_schema({"groups": {"own": []}, "settings": {}, "recbole": {"worker": {"kind": "int"}}}).recbole
        assert recbole["worker"].kind == "int"
        assert not SCHEMA.recbole.keys() & SCHEMA.settings.keys()
        assert not any(setting.models or setting.has_default for setting in SCHEMA.recbole.values())

    def test_may_nest_in_keys_values_and_other_kinds(self):
        row = {"kind": "mapping", "keys": {"a": {"kind": "int"}}, "also": {"kind": "text"}}
        setting = schema_of(key=row).settings["key"]
        assert setting.keys["a"].kind == "int" and setting.also.kind == "text"
        with pytest.raises(ConfigError, match="a is of kind 'number'"):
            schema_of(key={"kind": "mapping", "keys": {"a": {"kind": "number"}}})

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"kind": "int", "atleast": 1}, "key has the unknown field 'atleast' \\(did you mean 'at_least'\\?\\)"),
            ({"kind": "number"}, "key is of kind 'number'; choose one of bool, int"),
            ({}, "key is of kind None"),
            ({"kind": "int", "models": "fewer"}, "'fewer' is neither a group nor a model \\(did you mean 'few'\\?\\)"),
            ({"kind": "int", "instead": {"Ours": "gone"}}, "key names 'gone', which is not a setting"),
            ({"kind": "int", "at_least": 1, "default": 0}, "key must be a whole number from 1 up, not 0"),
            ({"kind": "int", "tune": [1, "two"]}, "key must be a whole number, not 'two'"),
            ({"kind": "list", "each": {"kinds": "int"}}, "key has the unknown field 'kinds'"),
        ],
    )
    def test_with_mistakes_are_refused(self, row, message):
        with pytest.raises(ConfigError, match=message):
            schema_of(key=row)

    def test_defaults_are_given_or_not(self):
        settings = schema_of(a={"kind": "int"}, b={"kind": "int", "default": None}).settings
        assert (settings["a"].has_default, settings["b"].has_default) == (False, True)


class TestGroups:
    def test_own_models_are_the_registrys(self):
        assert SCHEMA.groups["own"] == tuple(OWN_MODELS)

    def test_trimmed_models_are_the_trainers(self):
        assert set(SCHEMA.groups["trimmed"]) == set(TRIMMED_MODELS)

    def test_nest_and_know_all_and_recboles(self):
        rows = {"a": "all", "b": "recbole", "c": "few", "d": "Ours", "e": []}
        schema = schema_of(**{key: {"kind": "int", "models": models} for key, models in rows.items()})
        assert [key for key in rows if schema.declares("Ours", key)] == ["a", "c", "d"]
        assert [key for key in rows if schema.declares("SASRec", key)] == ["a", "b", "c"]
        assert [key for key in rows if schema.declares("NARM", key)] == ["a", "b"]

    def test_choices_are_those_of_the_code(self):
        assert SCHEMA.settings["ccdr_match_loss"].choices == ("neighbor", "ce")
        assert SCHEMA.settings["ccdr_aggregator"].choices == tuple(AGGREGATORS)
        assert SCHEMA.settings["ccdr_align"].each.choices == tuple(LEVELS)
        constants = {
            "mpo_strategy": (*STRATEGIES, "auto"),
            "mpo_gauge": GAUGES,
            "mpo_expand_init": EXPANSION_INITS,
            "train_stage": STAGES,
            "finetune_mode": MODES,
            "patch_form": PATCH_FORMS,
            "item_input": ITEM_INPUTS,
            "task_weighting": tuple(WEIGHTINGS),
            "loss_norm": tuple(DIVISORS),
            "cross_task": ("none", *EXCHANGES),
            "fuse": FUSIONS,
        }
        assert {name: SCHEMA.settings[name].choices for name in constants} == constants


class TestUse:
    def test_recboles_models_use_what_their_own_file_has(self):
        assert SCHEMA.uses("NARM", "hidden_size") and not SCHEMA.declares("NARM", "hidden_size")
        assert not SCHEMA.uses("NARM", "inner_size")
        assert SCHEMA.uses("SASRec", "inner_size") and SCHEMA.declares("SASRec", "inner_size")
        assert recbole_model_settings("NoModel") == frozenset()
        # RecBole's file of S3Rec has it, and nothing reads it here.
        assert not SCHEMA.uses("S3Rec", "pre_model_path")

    def test_a_common_block_gives_each_model_what_it_uses(self):
        block = {"n_layers": 1, "temperature": 0.1, "dilations": [1, 2], "epochs": 3, "seed": 1, "weight_decay": 0.1}
        shared = {"seed": 1, "weight_decay": 0.1}
        assert for_model(block, "Pop") == shared
        assert for_model(block, "PeterRec") == {**shared, "dilations": [1, 2], "epochs": 3}
        assert for_model(block, "SASRecCE") == {**shared, "n_layers": 1, "epochs": 3}
        assert for_model(block, "MPORec") == {**shared, "n_layers": 1, "temperature": 0.1, "epochs": 3}
        assert for_model(block, "GRU4Rec") == {**shared, "epochs": 3}
        assert for_model({"epoch": 3}, "Pop") == {"epoch": 3}, "a misspelt key is refused later"

    @pytest.mark.parametrize("model", MODELS)
    def test_a_block_of_everything_is_taken_by_every_model(self, model):
        block = {name: setting.default for name, setting in SCHEMA.settings.items()}
        for key in for_model(block, model):
            SCHEMA.check_use(model, key)
        assert settings_of(model).keys() <= for_model(block, model).keys()

    def test_worth_trying_can_be_other_values_for_one_model(self):
        assert SCHEMA.values_worth_trying("MPORec", "learning_rate") == (3e-4, 1e-3, 3e-3)
        assert SCHEMA.values_worth_trying("CCDR", "learning_rate") == (0.001, 0.005)
        assert SCHEMA.values_worth_trying("MPORec", "seed") == ()

    def test_names_and_paths_are_text(self):
        assert {"run_label", "data_path", "cache_dir", "checkpoint_dir", "feature_file", "pretrained"} <= text_keys()
        assert {"text_encoder", "encoding", "ccdr_source", "ccdr_source_feature_file"} <= text_keys()
        assert not {"freeze", "topk", "epochs", "eval_args", "gpu_id", "learner"} & text_keys()


def property_files():
    return sorted((property_root() / "model").glob("*.yaml"))


@pytest.mark.parametrize("path", property_files(), ids=lambda path: path.stem)
def test_property_files_hold_differences_alone(path):
    settings = read_yaml(path)
    assert settings
    for key, value in settings.items():
        SCHEMA.settings[key].check(value, may_be_left_out=True)
        if path.stem in MODELS:
            SCHEMA.check_use(path.stem, key)
        inherited = path.stem == "TextKNN" and key == "item_input"
        assert value != SCHEMA.settings[key].default or inherited, f"{path.name} repeats the schema's {key}"


def test_the_schema_is_the_packages_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "properties").mkdir()
    (tmp_path / "properties" / "schema.yaml").touch()
    assert find_property("schema") == property_root() / "schema.yaml"
    assert find_property("overall") is None
    (tmp_path / "properties" / "overall.yaml").touch()
    assert find_property("overall") == tmp_path / "properties" / "overall.yaml"
