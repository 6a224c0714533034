"""Settings: what values and keys are accepted, which layer wins, and what RecBole's Config must not do here."""

import json
import os
import sys

import pytest
import torch
import yaml
from recbole.utils import argument_list

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.quick_start.configure import fit_to_layout, make_config
from recbole_mpo.quick_start.registry import OWN_MODELS

LEAVE_ONE_OUT = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user"}
FULL = {"valid": "full", "test": "full"}


@pytest.fixture
def configure(tiny_path):
    """Makes the settings of a run on ``tiny``; keywords are overrides."""

    def make(model="MPORec", files=(), **overrides):
        _, config = make_config(model, "tiny", files, {"data_path": str(tiny_path), **overrides})
        fit_to_layout(config)
        return config

    return make


@pytest.fixture
def refused(configure):
    """The message of the error that some overrides meet."""

    def message(model="MPORec", files=(), **overrides):
        with pytest.raises(ConfigError) as caught:
            configure(model, files, **overrides)
        return str(caught.value)

    return message


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    return name


class TestKeysAndTypes:
    @pytest.mark.parametrize(
        ("wrong", "right"),
        [("epoch", "epochs"), ("learning_rat", "learning_rate"), ("mpo_num_core", "mpo_num_cores"), ("TOPK", "topk")],
    )
    def test_unknown_key_suggests(self, refused, wrong, right):
        message = refused(**{wrong: 3})
        assert f"unknown setting {wrong!r} for MPORec (did you mean {right!r}?)" in message

    def test_unknown_key_in_a_file_is_an_error_too(self, refused):
        assert "unknown setting 'epoch'" in refused(files=[write("a.yaml", "epoch: 3")])

    def test_a_key_that_nobody_knows_points_to_the_list_of_all(self, refused):
        assert refused("PeterRec", zzz=1) == "unknown setting 'zzz' for PeterRec; docs/settings.md lists them all"

    def test_nested_config_files_are_not_ignored_silently(self, refused):
        assert "unknown setting 'config_files'" in refused(files=[write("a.yaml", "config_files: [b.yaml]")])

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            ("epochs", "abc", "a whole number, not 'abc'"),
            ("epochs", True, "a whole number, not True"),
            ("epochs", 2.5, "a whole number, not 2.5"),
            ("epochs", [3], "a whole number, not [3]"),
            ("learning_rate", "abc", "a number, not 'abc'"),
            ("learning_rate", True, "a number, not True"),
            ("learning_rate", float("nan"), "a number, not nan"),
            ("learning_rate", float("inf"), "a number, not inf"),
            ("use_gpu", "maybe", "true or false, not 'maybe'"),
            ("use_gpu", 1, "true or false, not 1"),
            ("topk", 1.5, "a list, not 1.5"),
            ("topk", True, "a list, not True"),
            ("data_path", ["a", "b"], "text, not ['a', 'b']"),
            ("load_col", "abc", "a mapping, not 'abc'"),
            ("valid_metric", {"a": 1}, "text, not {'a': 1}"),
        ],
    )
    def test_type_mismatch_names_key_and_value(self, refused, key, value, expected):
        assert f"{key} must be {expected}" in refused(**{key: value})

    @pytest.mark.parametrize(
        ("key", "value", "least"),
        [("epochs", -1, 0), ("stopping_step", -5, 0), ("train_batch_size", 0, 1), ("MAX_ITEM_LIST_LENGTH", 0, 1)],
    )
    def test_numbers_that_cannot_work(self, refused, configure, key, value, least):
        assert f"{key} must be at least {least}, not {value}" in refused(**{key: value})
        assert configure(**{key: least})[key] == least

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"seed": -1}, "seed must be between 0 and 4294967295, not -1"),
            ({"seed": 2**32}, "seed must be between 0 and 4294967295, not 4294967296"),
            ({"weight_decay": -1}, "weight_decay must be at least 0, not -1"),
            ({"worker": -1}, "worker must be at least 0, not -1"),
            ({"loss_decimal_place": -3}, "loss_decimal_place must be between 0 and 20, not -3"),
            ({"mpo_lr_multiplier": -1}, "mpo_lr_multiplier must be at least 0, not -1"),
            ({"mpo_expand": float("nan")}, "mpo_expand must be a whole number from 1 up, not nan"),
            ({"attn_dropout_prob": 1.5}, "attn_dropout_prob must be between 0 and 1, not 1.5"),
            ({"clip_grad_norm": {"max_norm": -1}}, "clip_grad_norm.max_norm must be above 0, not -1"),
            ({"clip_grad_norm": {"max_norm": "a"}}, "clip_grad_norm.max_norm must be a number, not 'a'"),
            ({"clip_grad_norm": {"foo": 1}}, "unknown key 'foo' in clip_grad_norm"),
            ({"clip_grad_norm": {}}, "clip_grad_norm needs max_norm"),
            ({"eval_args": {"group_by": "item"}}, "eval_args.group_by is 'item'; choose one of user, none"),
            ({"eval_args": {"order": "RO"}}, "eval_args.order is 'RO'; choose one of TO"),
            ({"eval_args": {"split": {"LS": "x"}}}, "eval_args.split.LS is 'x'; choose one of valid_and_test, valid_o"),
            ({"eval_args": {"split": {"RS": [0.8]}}}, "eval_args.split.RS must be a list of numbers"),
            ({"eval_args": {"split": {"RS": [-1, 1, 1]}}}, "eval_args.split.RS must be a list of numbers"),
            ({"eval_args": {"split": {"XS": 1}}}, "unknown key 'XS' in eval_args.split"),
            ({"eval_args": {"split": {}}}, "eval_args.split must be one of LS, RS and TS, not {}"),
            ({"eval_args": {"split": {"LS": "valid_only", "RS": [1, 1, 1]}}}, "must be one of LS, RS and TS"),
            ({"eval_args": {"mode": {"foo": "full"}}}, "unknown key 'foo' in eval_args.mode"),
            ({"eval_args": {"mode": ["full"]}}, "eval_args.mode must be text such as uni100, not ['full']"),
            ({"eval_args": {"mode": "uni0"}}, "eval_args.mode must be text such as uni100, not 'uni0'"),
            ({"val_interval": {"rating": "foo"}}, "val_interval.rating must be text such as '[3,inf)', not 'foo'"),
            ({"val_interval": {"rating": 3}}, "val_interval.rating must be text such as '[3,inf)', not '3'"),
            ({"user_inter_num_interval": "5"}, "user_inter_num_interval must be text such as '[5,inf)', not '5'"),
            ({"threshold": {"rating": "x"}}, "threshold.rating must be a number, not 'x'"),
            ({"load_col": {"inter": {"a": 1}}}, "load_col.inter must be a list of names, not {'a': 1}"),
            ({"benchmark_filename": ["train"]}, "benchmark_filename must be a list of names"),
            ({"alias_of_item_id": "foo"}, "alias_of_item_id must be a list of names, not 'foo'"),
            ({"rm_dup_inter": "foo"}, "rm_dup_inter is 'foo'; choose one of first, last"),
            ({"state": "foo"}, "state is 'foo'; choose one of DEBUG, INFO"),
            ({"TIME_FIELD": "item_id"}, "ITEM_ID_FIELD and TIME_FIELD are both 'item_id'"),
            ({"LIST_SUFFIX": None}, "LIST_SUFFIX must be text, not empty"),
            ({"field_separator": ""}, "field_separator must be text that is not empty, not ''"),
            ({"field_separator": None}, "field_separator must be text, not empty"),
            ({"run_label": "a\nb"}, "run_label must be one line without control characters, not 'a\\nb'"),
            ({"save_dataset": True}, "save_dataset has no effect here"),
        ],
    )
    def test_values_that_mean_nothing_are_refused_by_name(self, refused, settings, message):
        assert message in refused(**settings)

    @pytest.mark.parametrize(
        "settings",
        [
            {"eval_args": {"group_by": None}},
            {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "none"}},
            {"eval_args": {"mode": {"valid": "full", "test": "full"}}},
            {"clip_grad_norm": {"max_norm": 5, "norm_type": 2}},
            {"val_interval": {"rating": "[3,inf)", "genre": ["a"]}},
            {"val_interval": {"rating": "[1, 2];(3 ,4.5]"}},
            {"seed": 2**32 - 1},
            {"field_separator": "\t", "seq_separator": "|"},
            {"state": "warning"},
            {"save_dataset": False},
        ],
    )
    def test_values_that_mean_something_are_taken(self, configure, settings):
        (key, value), *_ = settings.items()
        assert configure(**settings)[key] is not None or value is None

    def test_wandb_must_be_installed(self, refused, monkeypatch):
        monkeypatch.setitem(sys.modules, "wandb", None)
        message = "log_wandb needs the package wandb, which is not installed: pip install wandb"
        assert refused(log_wandb=True) == message

    def test_an_unknown_learner_is_not_replaced_by_adam(self, refused, configure):
        assert "learner is 'adamm'; choose one of adam, adamw" in refused(learner="adamm")
        assert configure(learner="AdamW")["learner"] == "AdamW"

    def test_whole_numbers_are_numbers(self, configure):
        config = configure(learning_rate=1, topk=10)
        assert config["learning_rate"] == 1 and config["topk"] == [10]

    def test_numbers_serve_as_text_where_they_are_names(self, configure):
        assert configure(gpu_id=0)["gpu_id"] == "0"
        assert configure(checkpoint_dir=2024)["checkpoint_dir"] == "2024"

    @pytest.mark.parametrize(
        "key", ["MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "valid_metric_bigger", "device", "local_rank"]
    )
    def test_derived_keys_cannot_be_set(self, refused, key):
        assert refused(**{key: 1}).startswith(f"{key} is computed from other settings")

    @pytest.mark.parametrize(
        ("settings", "part"),
        [
            ({"metrics": ["Hitt"]}, "metrics names 'hitt'; choose from auc, averagepopularity, gauc, giniindex, hit, "),
            ({"metrics": [1]}, "metrics names '1'; choose from auc, averagepopularity, gauc, giniindex, hit, "),
            ({"metrics": ["Hit", "AUC"]}, "can not be used at the same time"),
            ({"topk": [0]}, "topk must be a list of whole numbers from 1 up, not [0]"),
            ({"topk": [10, "a"]}, "topk must be a list of whole numbers from 1 up, not [10, 'a']"),
            ({"topk": "abc"}, "topk"),
            ({"topk": []}, "topk must be a list"),
            ({"metrics": []}, "metrics must be a list"),
            ({"metrics": None}, "metrics must be a list"),
            ({"eval_args": None}, "eval_args.split must be one of LS, RS and TS, not None"),
            ({"valid_metric": "x" * 9000}, "xxx ... xxx"),
            ({"valid_metric": None}, "valid_metric must be text, not empty"),
            ({"repeatable": False}, "repeatable"),
            ({"eval_args": "full"}, "eval_args"),
            ({"eval_args": {"mode": "bogus"}}, "eval_args.mode must be text such as uni100, not 'bogus'"),
            ({"eval_args": {"mode": "uniabc"}}, "eval_args.mode must be text such as uni100, not 'uniabc'"),
            ({"train_neg_sample_args": {"distribution": "uniform"}}, "train_neg_sample_args"),
            ({"valid_metric": "NDCG@20"}, "valid_metric"),
            ({"topk": [5]}, "valid_metric"),
        ],
    )
    def test_contradictions_are_config_errors(self, refused, settings, part):
        assert part in refused("SASRec", **settings)

    @pytest.mark.parametrize(("line", "key"), [("1: 2", "1"), ("~: 2", "None"), ("2.5: 2", "2.5"), ("true: 2", "True")])
    def test_a_key_that_is_not_text_is_unknown(self, tmp_path, refused, line, key):
        (tmp_path / "odd.yaml").write_text(f"{line}\n")
        message = f"unknown setting {key} for SASRec; docs/settings.md lists them all"
        assert refused("SASRec", [tmp_path / "odd.yaml"]) == message

    def test_a_valid_metric_that_is_not_computed_names_those_that_are(self, refused):
        message = refused(topk=[5], metrics=["Hit", "NDCG"])
        assert "valid_metric is 'NDCG@10'" in message and "hit@5, ndcg@5" in message

    def test_unknown_key_of_eval_args_suggests(self, refused):
        assert "unknown key 'modes' in eval_args (did you mean 'mode'?)" in refused(eval_args={"modes": "full"})

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("epochs", None, "epochs must be a whole number, not empty"),
            ("n_heads", 0, "n_heads must be at least 1, not 0"),
            ("learning_rate", -1.0, "learning_rate must be at least 0, not -1.0"),
            ("temperature", 0, "temperature must be above 0, not 0"),
            ("clip_grad_norm", 5, "clip_grad_norm must be a mapping such as {max_norm: 5}, not 5"),
            ("dataset", "other", "dataset is 'other' in the settings, but this run uses 'tiny'"),
        ],
    )
    def test_values_out_of_range_are_named(self, refused, key, value, message):
        assert message in refused(**{key: value})

    def test_another_model_among_the_settings_is_refused(self, tiny_path):
        with pytest.raises(ConfigError, match="model is 'SASRec' in the settings, but this run uses 'MPORec'"):
            make_config("MPORec", "tiny", (), {"data_path": str(tiny_path), "model": "SASRec"})

    def test_sampled_evaluation_needs_padded_rows(self, refused, configure):
        assert "needs train_mode=pairwise" in refused(eval_args={"mode": "uni10"})
        assert configure(eval_args={"mode": "uni10"}, train_mode="pairwise")["train_mode"] == "pairwise"

    @pytest.mark.parametrize("key", ["train_mode", "eval_mode"])
    def test_modes_are_chosen_from_a_list(self, refused, key):
        assert f"{key} is 'fast'; choose one of" in refused(**{key: "fast"})


class TestUse:
    @pytest.mark.parametrize(
        ("model", "key", "message"),
        [
            ("PeterRec", "n_layers", "PeterRec does not use n_layers (it has dilations); leave it out"),
            ("GRU4Rec", "n_layers", "GRU4Rec does not use n_layers (it has num_layers); leave it out"),
            ("SASRecCE", "temperature", "SASRecCE does not use temperature; leave it out"),
            ("CCDR", "temperature", "CCDR does not use temperature (it has ccdr_temperature); leave it out"),
            ("LoRA", "mpo_target_modules", "LoRA does not use mpo_target_modules (it has lora_target_modules); "),
            ("SASRec", "loss", "SASRec does not use loss (it has loss_type); leave it out"),
            ("S3Rec", "pre_model_path", "S3Rec does not use pre_model_path (it has pretrained); leave it out"),
            ("SASRec", "item_input", "SASRec does not use item_input; leave it out"),
            ("MPORec", "trim_batches", "MPORec does not use trim_batches; leave it out"),
            ("Pop", "epochs", "Pop does not use epochs; leave it out"),
            ("NARM", "dropout_prob", "NARM does not use dropout_prob (did you mean 'dropout_probs'?); leave it out"),
        ],
    )
    def test_a_setting_of_other_models_is_refused_with_its_like(self, refused, model, key, message):
        assert refused(model, **{key: 4}).startswith(message)
        assert refused(model, files=[write("a.yaml", f"{key}: 4")]).startswith(message)
        assert refused(model, **{key: None}).startswith(message)

    @pytest.mark.parametrize(
        ("model", "settings"),
        [
            ("SASRec", {"n_layers": 1, "hidden_act": "relu", "weight_decay": 0.1, "trim_batches": False}),
            ("NARM", {"hidden_size": 32, "dropout_probs": [0.1, 0.2], "n_layers": 2}),
            ("NextItNet", {"dilations": [1, 2], "kernel_size": 2, "block_num": 1}),
            ("FPMC", {"embedding_size": 8}),
            ("MPORec", {"weight_decay": 0.1, "metric_decimal_place": 6, "threshold": {"rating": 3}}),
        ],
    )
    def test_recboles_general_keys_and_those_of_its_own_models_are_taken(self, configure, model, settings):
        config = configure(model, **settings)
        assert {key: config[key] for key in settings} == settings

    @pytest.mark.parametrize("key", ["overall", "dataset/tiny", "model/TextSequentialRecommender"])
    def test_a_file_that_is_meant_for_several_models_gives_each_what_it_uses(self, configure, key):
        for folder in ("dataset", "model"):
            os.makedirs(f"properties/{folder}", exist_ok=True)
        write(f"properties/{key}.yaml", "temperature: 0.5\nn_layers: 3\nhidden_size: 8\n")
        assert (configure("UniSRec")["temperature"], configure("UniSRec")["n_layers"]) == (0.5, 3)
        assert (configure("SASRecCE")["temperature"], configure("SASRecCE")["n_layers"]) == (None, 3)
        assert configure("SASRecCE")["hidden_size"] == 64
        assert configure("PeterRec")["n_layers"] is None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("temperature: 0.5", "SASRecCE does not use temperature; leave it out"),
            ("n_layers: 0", "n_layers must be a whole number from 1 up, not 0"),
        ],
    )
    def test_a_file_of_the_models_own_name_is_checked_and_named(self, refused, text, message):
        os.makedirs("properties/model")
        write("properties/model/SASRecCE.yaml", text)
        assert refused("SASRecCE").endswith(f"properties/model/SASRecCE.yaml: {message}")


class TestStored:
    def test_stands_between_the_property_files_and_what_is_given(self, tiny_path):
        stored = {"data_path": str(tiny_path), "n_layers": 3, "n_heads": 4, "epochs": 7}
        stored["eval_args"] = {"group_by": "none"}
        file = write("a.yaml", "n_heads: 6")
        _, config = make_config("MPORec", "tiny", [file], {"epochs": 1}, stored)
        assert (config["n_layers"], config["n_heads"], config["epochs"]) == (3, 6, 1)
        assert config["eval_args"]["group_by"] == "none" and config["eval_args"]["split"] == {"LS": "valid_and_test"}

    def test_keys_that_are_gone_or_idle_are_dropped_by_name(self, tiny_path, caplog):
        stored = {"data_path": str(tiny_path), "temperature": 0.5, "init_from": "a.pth", "n_layers": 3}
        _, config = make_config("SASRecCE", "tiny", stored=stored)
        assert (config["n_layers"], config["temperature"], config["init_from"]) == (3, None, None)
        assert [record.getMessage() for record in caplog.records] == [
            "settings of the checkpoint that SASRecCE does not use are dropped: init_from, temperature"
        ]
        assert not {"temperature", "init_from"} & config.plain().keys()

    def test_of_this_version_lose_nothing(self, configure, caplog):
        for model in (*OWN_MODELS, "SASRec", "S3Rec", "FPMC"):
            make_config(model, "tiny", stored=configure(model).plain())
        assert not caplog.records

    def test_what_is_given_with_them_is_checked_as_ever(self, configure):
        with pytest.raises(ConfigError, match="SASRecCE does not use temperature"):
            make_config("SASRecCE", "tiny", (), {"temperature": 0.1}, configure("SASRecCE").plain())

    def test_of_another_model_or_dataset_are_refused(self, configure):
        with pytest.raises(ConfigError, match="model is 'UniSRec' in the settings, but this run uses 'MPORec'"):
            make_config("MPORec", "tiny", stored=configure("UniSRec").plain())
        with pytest.raises(ConfigError, match="dataset is 'tiny' in the settings, but this run uses 'other'"):
            make_config("MPORec", "other", stored=configure("MPORec").plain())

    def test_stay_as_they_were(self, configure):
        stored = configure("MPORec").plain()
        before = json.dumps(stored)
        _, config = make_config("MPORec", "tiny", stored=stored)
        config["eval_args"]["order"] = "RO"
        config["topk"].append(3)
        assert json.dumps(stored) == before


class TestLayers:
    def test_each_layer_wins_over_those_before_it(self, configure):
        """Schema, overall, dataset, model, config files in order, overrides: each sets one key more than the next."""
        os.makedirs("properties/dataset")
        os.makedirs("properties/model")
        keys = ("epochs", "stopping_step", "train_batch_size", "eval_batch_size", "seed")

        def layer(number):
            return "".join(f"{key}: {number}\n" for key in keys[number - 1 :])

        write("properties/overall.yaml", "loss_decimal_place: 6\nweight_decay: 0.5\nn_heads: 4\n" + layer(1))
        write("properties/dataset/tiny.yaml", layer(1) + "loss_decimal_place: 1\n")
        write("properties/model/MPORec.yaml", layer(2))
        files = [write("a.yaml", layer(3)), write("b.yaml", layer(4))]
        config = configure(files=files, seed=5)
        assert [config[key] for key in keys] == [1, 2, 3, 4, 5]
        assert (config["loss_decimal_place"], config["weight_decay"], config["n_heads"]) == (1, 0.5, 4)
        assert config["n_exps"] == 8

    def test_a_dataset_file_may_choose_the_columns(self, tiny_settings):
        os.makedirs("properties/dataset")
        write("properties/dataset/tiny.yaml", "load_col: {inter: [user_id, item_id, timestamp, rating]}\n")
        _, config = make_config("SASRec", "tiny", (), {"data_path": tiny_settings["data_path"]})
        fit_to_layout(config)
        assert config["load_col"] == {"inter": ["user_id", "item_id", "timestamp", "rating"]}

    @pytest.mark.parametrize(
        ("model", "strategy"), [("MPORec", "full"), ("MPORecLight", "light"), ("MPORecExpand", "expand")]
    )
    def test_settings_are_inherited_as_the_class_is(self, configure, model, strategy):
        config = configure(model)
        assert (config["mpo_strategy"], config["mpo_num_cores"], config["n_exps"]) == (strategy, 5, 8)

    def test_packaged_settings_win_over_recboles(self, configure):
        config = configure("SASRec")
        assert config["metrics"] == ["Hit", "NDCG", "MRR"] and config["eval_batch_size"] == 2048

    @pytest.mark.parametrize("model", ["MPORec", "SASRec"])
    def test_leave_one_out_survives_partial_eval_args(self, configure, model):
        expected = {**LEAVE_ONE_OUT, "mode": FULL}
        for config in (
            configure(model),
            configure(model, eval_args={"mode": "full"}),
            configure(model, files=[write("a.yaml", "eval_args: {mode: full}")]),
        ):
            given = config["eval_args"]
            split = given["split"]["LS"]
            assert {**given, "split": {"LS": split}} == expected

    def test_partial_eval_args_of_two_layers_add_up(self, configure):
        file = write("a.yaml", "eval_args: {split: {LS: valid_only}}")
        given = configure("SASRec", files=[file], eval_args={"mode": "uni100"})["eval_args"]
        assert given == {**LEAVE_ONE_OUT, "split": {"LS": "valid_only"}, "mode": {"valid": "uni100", "test": "uni100"}}

    def test_the_callers_settings_stay_as_they_were(self, configure):
        eval_args = {"mode": "full"}
        config = configure(eval_args=eval_args)
        config["eval_args"]["order"] = "RO"
        assert eval_args == {"mode": "full"}


class TestFiles:
    def test_values_are_never_evaluated_in_any_layer(self, configure, tmp_path):
        code = f"open({str(tmp_path / 'made')!r}, 'w')"
        file = write("a.yaml", yaml.safe_dump({"run_label": code}))
        assert configure(files=[file])["run_label"] == code
        assert configure(run_label=code)["run_label"] == code
        assert configure(run_label="1/2")["run_label"] == "1/2"
        assert not (tmp_path / "made").exists()

    def test_missing_config_file(self, refused):
        assert refused(files=["no.yaml"]) == "config file no.yaml cannot be read: No such file or directory"

    def test_broken_yaml_names_file_and_line(self, refused):
        message = refused(files=[write("bad.yaml", "epochs: 3\ntopk: [1, 2\nseed: 4\n")])
        assert message.startswith("config file bad.yaml is not valid YAML") and "line 3" in message
        assert "\n" not in message

    def test_exponents_are_numbers_in_files_too(self, configure):
        assert configure(files=[write("a.yaml", "learning_rate: 1e-3")])["learning_rate"] == 0.001


class TestSurroundings:
    def test_sys_argv_is_never_read(self, configure, monkeypatch):
        before = configure().plain()
        monkeypatch.setattr(sys, "argv", ["pytest", "--epochs=999", "--bogus=1/0", "--seed", "1"])
        assert configure().plain() == before

    @pytest.mark.parametrize("visible", [None, "5"])
    def test_cuda_visible_devices_stays(self, configure, monkeypatch, visible):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        configure(gpu_id="3")
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible

    @pytest.mark.parametrize(
        ("settings", "device"),
        [
            ({}, "cuda:0"),
            ({"gpu_id": 1}, "cuda:1"),
            ({"gpu_id": [2, 3]}, "cuda:2"),
            ({"gpu_id": ""}, "cpu"),
            ({"use_gpu": False}, "cpu"),
        ],
    )
    def test_use_gpu_and_gpu_id_choose_the_device(self, configure, monkeypatch, settings, device):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        assert configure(**settings)["device"] == torch.device(device)

    @pytest.mark.parametrize("gpu_id", ["4", "first"])
    def test_a_gpu_that_is_not_there_is_named(self, configure, monkeypatch, gpu_id):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        with pytest.raises(ConfigError, match=f"gpu_id is '{gpu_id}'; this machine's devices are 0 to 3"):
            configure(gpu_id=gpu_id)

    def test_without_a_gpu_it_is_the_cpu(self, configure, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert configure(use_gpu=True)["device"] == torch.device("cpu")

    def test_ml_100k_keeps_the_users_data_path(self, tmp_path):
        folder = tmp_path / "mine" / "ml-100k"
        folder.mkdir(parents=True)
        (folder / "ml-100k.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n", encoding="utf-8")
        _, config = make_config("MPORec", "ml-100k", (), {"data_path": "mine"})
        assert config["data_path"] == os.path.join("mine", "ml-100k")

    def test_recboles_lists_of_names_stay_as_they_were(self, tiny_path):
        lists = {name: value for name, value in vars(argument_list).items() if name.endswith("_arguments")}
        before = {name: list(value) for name, value in lists.items()}
        folder = tiny_path / "ml-100k"
        folder.mkdir()
        (folder / "ml-100k.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n", encoding="utf-8")
        # RecBole has a property file for this dataset and appends its keys.
        make_config("SASRec", "ml-100k", (), {"data_path": str(tiny_path)})
        assert len(before) == 4 and {name: list(value) for name, value in lists.items()} == before


class TestNegativeSampling:
    @pytest.mark.parametrize("model", [*OWN_MODELS, "SASRec", "GRU4Rec", "BERT4Rec"])
    def test_cross_entropy_draws_none(self, configure, model):
        assert configure(model)["train_neg_sample_args"]["distribution"] == "none"

    @pytest.mark.parametrize(("model", "settings"), [("FPMC", {}), ("SASRec", {"loss_type": "BPR"})])
    def test_pairwise_losses_keep_recboles_default(self, configure, model, settings):
        drawn = configure(model, **settings)["train_neg_sample_args"]
        assert (drawn["distribution"], drawn["sample_num"]) == ("uniform", 1)

    def test_given_settings_are_kept(self, configure):
        config = configure("FPMC", train_neg_sample_args={"distribution": "popularity", "sample_num": 2})
        assert config["train_neg_sample_args"]["distribution"] == "popularity"
        assert config["train_neg_sample_args"]["alpha"] == 1.0


class TestPlain:
    CASES = [
        *((model, {}) for model in OWN_MODELS),
        ("SASRec", {"eval_args": {"mode": "full"}}),
        ("FPMC", {}),
        ("FPMC", {"train_neg_sample_args": {"distribution": "popularity", "sample_num": 2}}),
        ("MPORec", {"metrics": "Hit", "topk": 10, "valid_metric": "Hit@10", "mpo_in_factors": [2, 15], "gpu_id": 0}),
        ("MPORecExpand", {"mpo_expand": 4, "learning_rate": 1e-4, "freeze": "encoder", "run_label": "a"}),
    ]

    @pytest.mark.parametrize(("model", "settings"), CASES)
    def test_survives_json_and_gives_the_same_settings_again(self, configure, model, settings):
        config = configure(model, **settings)
        plain = json.loads(json.dumps(config.plain(), allow_nan=False))
        assert plain == config.plain()
        dataset = plain.pop("dataset")
        model = plain.pop("model")
        for again in (make_config(model, dataset, (), plain)[1], make_config(model, dataset, stored=config.plain())[1]):
            assert again.final_config_dict == config.final_config_dict
            assert again.plain() == config.plain()

    def test_names_no_setting_that_the_model_does_not_use(self, configure):
        assert not {"epochs", "learning_rate", "hidden_size", "text_encoder"} & configure("Pop").plain().keys()
        assert not {"n_layers", "n_exps", "temperature"} & configure("PeterRec").plain().keys()
        assert configure("Pop").plain()["weight_decay"] == 0.0

    def test_round_trips_for_a_presplit_data_set(self, tmp_path):
        folder = tmp_path / "split"
        folder.mkdir()
        for part in ("train", "valid", "test"):
            header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
            (folder / f"split.{part}.inter").write_text(header + "u\ta b\tc\n", encoding="utf-8")
        config = make_config("MPORec", "split", (), {"data_path": str(tmp_path)})[1]
        fit_to_layout(config)
        assert config["benchmark_filename"] == ["train", "valid", "test"]
        plain = config.plain()
        assert make_config("MPORec", "split", (), plain)[1].final_config_dict == config.final_config_dict
        assert make_config("MPORec", "split", stored=plain)[1].final_config_dict == config.final_config_dict

    def test_leaves_out_what_recboles_data_code_notes_down(self, configure):
        config = configure("BERT4Rec")
        before = config.plain()
        config["MASK_INDEX"] = "MASK_INDEX"
        assert config.plain() == before

    def test_has_the_data_path_as_written_and_no_derived_key(self, configure, tiny_path):
        config = configure("FPMC")
        assert config["data_path"] == str(tiny_path / "tiny")
        assert config.plain()["data_path"] == str(tiny_path)
        assert not {"device", "MODEL_TYPE", "train_neg_sample_args"} & set(config.plain())
