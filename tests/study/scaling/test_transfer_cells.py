"""Runs on another dataset: from weights, and from scratch in the same size and with the same recipe."""

import pytest
from planted_study import content_of

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.transfer_cells import SCRATCH, TUNED


@pytest.fixture(scope="module")
def tuned():
    return [cell for cell in Plan.read(content_of()).cells if cell.way]


def test_every_width_of_the_largest_data_and_all_data_of_one_width_are_fine_tuned(tuned):
    sources = [(one.source.value("train_users"), one.value("hidden_size")) for one in tuned if one.way == TUNED]
    assert sorted(sources) == sorted(
        [(0.5, 32), (0.5, 64), (0.5, 128), (0.5, 256), (0.25, 128), (0.125, 128), (0.0625, 128)]
    )
    scratch = [one for one in tuned if one.way == SCRATCH]
    assert sorted(one.value("hidden_size") for one in scratch) == [32, 64, 128, 256]
    assert {one.dataset for one in tuned} == {"Scientific"}


def test_recipe_and_size_are_those_of_the_run_from_scratch(tuned):
    scratch = {one.value("hidden_size"): one for one in tuned if one.way == SCRATCH}
    for one in tuned:
        if one.way == TUNED:
            assert one.row.settings == scratch[one.value("hidden_size")].row.settings
            assert one.value("inner_size") == one.source.value("inner_size")
        assert one.value("train_users") == one.value("eval_users") == 1


def test_a_way_has_settings_and_sources_of_its_own(tuned):
    (one,) = [one for one in tuned if one.way == "progressive"]
    assert (one.row.model, one.value("mpo_strategy"), one.value("epochs")) == ("MPORec", "progressive", 50)
    assert (one.source.value("train_users"), one.value("hidden_size")) == (0.5, 128)


def test_sizes_on_the_command_line_do_not_part_a_run_from_its_source(small):
    cells = Plan.read(small, {"n_exps": 3, "epochs": 1}).cells
    for one in cells:
        if one.source is not None:
            assert one.value("n_exps") == one.source.value("n_exps") == 3


def test_sizes_that_a_name_does_not_tell_apart_are_refused(small):
    small["grid"]["size"]["n_exps"] = [2, 4]
    with pytest.raises(ConfigError, match="transfer: from: two different runs are both named 'from scratch, Uni"):
        Plan.read(small)
    small["transfer"]["from"] = {"train_users": 0.5, "n_exps": 4}
    assert len([cell for cell in Plan.read(small).cells if cell.way]) == 4


def test_what_is_not_well_described_is_named(small):
    for transfer, message in (
        (["other"], "transfer has the keys dataset, settings, from, ways"),
        ({"dataset": "other", "form": []}, "transfer has the keys"),
        ({"dataset": "other", "from": [{"hidden_size": 99}]}, "transfer: from: no run of the main grid has"),
        ({"dataset": "../other", "from": [{}]}, "transfer: dataset"),
    ):
        with pytest.raises(ConfigError, match=message):
            Plan.read({**small, "transfer": transfer})
