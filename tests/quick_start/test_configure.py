"""From names to checked settings, without a look at data; and the keys that follow from the files."""

import socket

import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.quick_start.configure import fit_to_layout, make_config
from recbole_mpo.quick_start.registry import OWN_MODELS


@pytest.mark.parametrize("dataset", ["nowhere", "ml-100k", "Scientific"])
def test_settings_need_neither_files_nor_the_network(dataset, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    spec, config = make_config("mporec-light", dataset)
    assert (spec.name, config["dataset"], config["mpo_strategy"]) == ("MPORecLight", dataset, "light")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "./T", "a/b", "a\\b", "/T", "T/", ".hidden", "c:T"])
def test_a_datasets_name_is_no_path(name):
    with pytest.raises(ConfigError, match="dataset is .*; give the name of one folder, without"):
        make_config("CCDR", name)
    if name:
        with pytest.raises(ConfigError, match="ccdr_source is .*; give the name of one folder, without"):
            make_config("CCDR", "T", overrides={"ccdr_source": name})


def test_a_datasets_name_has_no_control_character():
    with pytest.raises(ConfigError, match=r"dataset is 'a\\nb'; give the name"):
        make_config("MPORec", "a\nb")


@pytest.mark.parametrize("name", ["ml-100k", "Pantry-2023", "a b", "é", "x.y", "T_1"])
def test_any_name_of_a_folder_is_a_datasets(name):
    assert make_config("MPORec", name)[1]["dataset"] == name


def test_files_and_overrides_are_layers(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("epochs: 3\nn_layers: 1\n", encoding="utf-8")
    _, config = make_config("UniSRec", "any", [file], {"epochs": 4}, {"n_layers": 5, "n_heads": 4, "epochs": 5})
    assert (config["epochs"], config["n_layers"], config["n_heads"]) == (4, 1, 4)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("Pop", {"item_input": "text"}, "Pop does not use item_input; leave it out"),
        ("CCDR", {"item_input": "text"}, "CCDR takes item_input=id or text\\+id, not 'text'"),
        ("S3RecFixed", {"train_mode": "pairwise"}, "S3RecFixed reads whole histories: leave train_mode=packed"),
        ("MPORec", {"loss_type": "CE"}, "MPORec has its own loss; leave loss_type out"),
        ("MPORec", {"eval_args": {"mode": "uni10"}}, "sampled evaluation .* needs train_mode=pairwise"),
        ("MPORec", {"train_mode": "both"}, "train_mode is 'both'; choose one of packed, pairwise"),
        ("SASRec", {"loss_type": "BCE"}, "loss_type is 'BCE'; choose one of CE, BPR"),
    ],
)
def test_values_that_other_models_take_are_refused(model, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_config(model, "any", (), settings)


@pytest.mark.parametrize("name", OWN_MODELS)
def test_models_take_their_own_defaults(name):
    spec, config = make_config(name, "any")
    default = (None,) if spec.model_class.reads else ("text", "text+id", "id")
    assert config["item_input"] in (spec.model_class.item_inputs or default)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval_args": {"mode": "uni100"}}, "eval_history=masked ranks among all items: leave mode=full"),
        ({"eval_args": {"mode": {"valid": "uni100", "test": "full"}}}, "ranks among all items"),
        ({"metrics": ["Hit", "GAUC"], "valid_metric": "Hit@10"}, "eval_history=masked has no GAUC"),
    ],
)
def test_what_masked_histories_do_not_have_is_refused(settings, message):
    assert make_config("SASRec", "any", (), {**settings, "eval_history": "kept"})
    with pytest.raises(ConfigError, match=message):
        make_config("SASRec", "any", (), {**settings, "eval_history": "masked"})


class TestLayout:
    def test_of_one_file_loads_three_columns(self, tiny_path):
        _, config = make_config("MPORec", "tiny", (), {"data_path": str(tiny_path)})
        fit_to_layout(config)
        assert config["load_col"] == {"inter": ["user_id", "item_id", "timestamp"]}
        assert config["benchmark_filename"] is None

    def test_of_split_files_names_them_and_the_histories(self, tmp_path):
        folder = tmp_path / "split"
        folder.mkdir()
        for part in ("train", "valid", "test"):
            header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
            (folder / f"split.{part}.inter").write_text(header + "u\ta b\tc\n", encoding="utf-8")
        _, config = make_config("MPORec", "split", (), {"data_path": str(tmp_path)})
        fit_to_layout(config)
        assert config["benchmark_filename"] == ["train", "valid", "test"]
        assert config["alias_of_item_id"] == ["item_id_list"]

    def test_what_is_given_stays(self, tiny_path):
        columns = {"inter": ["user_id", "item_id", "timestamp", "rating"]}
        _, config = make_config("MPORec", "tiny", (), {"data_path": str(tiny_path), "load_col": columns})
        fit_to_layout(config)
        assert config["load_col"] == columns

    def test_what_a_checkpoint_keeps_stays(self, tiny_path):
        stored = {"data_path": str(tiny_path), "load_col": {"inter": ["user_id", "item_id"]}}
        _, config = make_config("MPORec", "tiny", stored=stored)
        fit_to_layout(config)
        assert config["load_col"] == stored["load_col"]

    def test_of_a_missing_dataset_is_an_error(self, tmp_path):
        _, config = make_config("MPORec", "nowhere", (), {"data_path": str(tmp_path)})
        with pytest.raises(DataError, match="nowhere"):
            fit_to_layout(config)
