"""The size of a run in its record: what it trained on, how much, and that counting changes no figure."""

import pytest
from support import built_run, numbers

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.quick_start.recorded_run import run


def test_the_record_has_sizes_and_counting_changes_no_figure(tiny_settings):
    plain = run("UniSRec", "tiny", (), tiny_settings)
    counted = run("UniSRec", "tiny", (), {**tiny_settings, "count_flops": True})
    assert numbers(plain) == numbers(counted)
    scale = counted["scale"]
    assert scale["train_rows"] == counted["data"]["targets"]["train"] and scale["train_users"] == 40
    assert scale["examples_seen"] == 2 * scale["train_rows"] and scale["steps"] == 2 * scale["steps_per_epoch"]
    assert scale["flops"] == scale["steps"] * scale["flops_per_step"] > 0
    assert scale["flops_6nd"] == 6 * scale["non_embedding"] * scale["train_tokens"] * 2
    frozen = counted["params"]["by_group"]["item_features (frozen text)"]["total"]
    assert scale["non_embedding"] == counted["params"]["total"] - frozen
    assert {key: value for key, value in scale.items() if key not in ("flops", "flops_per_step")} == plain["scale"]


def test_ids_are_no_part_of_the_size(tiny_settings):
    with_ids = run("UniSRec", "tiny", (), {**tiny_settings, "item_input": "text+id", "id_side": "both"})
    assert with_ids["scale"]["non_embedding"] == run("UniSRec", "tiny", (), tiny_settings)["scale"]["non_embedding"]


def test_fewer_users_are_a_smaller_run(tiny_settings):
    scale = run("UniSRec", "tiny", (), {**tiny_settings, "train_users": 0.25, "eval_users": 0.5})["scale"]
    assert scale["train_users"] == 10


def test_a_model_without_packed_training_has_none(tiny_settings):
    settings = {key: tiny_settings[key] for key in ("data_path", "checkpoint_dir")}
    assert run("GRU4Rec", "tiny", (), {**settings, "epochs": 1, "hidden_size": 8})["scale"] == {}


def test_padded_rows_are_not_counted(tiny_settings):
    with pytest.raises(ConfigError, match="count_flops counts a step on packed histories"):
        built_run("UniSRec", "tiny", (), {**tiny_settings, "count_flops": True, "train_mode": "pairwise"})
