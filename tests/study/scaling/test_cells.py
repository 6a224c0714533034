"""One run of a study: its name, its values, and how it is chosen."""

import pytest
from planted_study import content_of

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.scaling.cells import chosen_cells, matches, name_of
from recbole_mpo.study.scaling.plan import Plan


@pytest.fixture(scope="module")
def cells():
    return Plan.read(content_of()).cells


def test_a_name_says_users_width_depth_and_what_else_was_chosen():
    assert name_of("UniSRec", {"hidden_size": 64, "train_users": 0.0625}, {"hidden_size": 64}) == (
        "UniSRec, 6.25 % of users, 64 wide, 2 deep"
    )
    assert name_of("MPORec", {}, {"mpo_max_bond_dim": 8}) == (
        "MPORec, 100 % of users, 300 wide, 2 deep, mpo_max_bond_dim 8"
    )


def test_values_are_given_ones_or_defaults(cells):
    cell = next(cell for cell in cells if cell.row.name == "UniSRec, 50 % of users, 64 wide, 2 deep")
    assert (cell.value("hidden_size"), cell.value("n_layers"), cell.value("no such setting")) == (64, 2, None)


def test_runs_are_chosen_by_values(cells):
    wanted = {"hidden_size": [64, 128], "train_users": 0.5, "n_layers": 2, "model": "UniSRec"}
    assert sorted(cell.value("hidden_size") for cell in cells if not cell.way and matches(cell, wanted)) == [64, 128]
    twice = chosen_cells(cells, [{"train_users": 0.5}, {"train_users": 0.5}], "from")
    assert len(twice) == 4
    for nothing in ({"hidden_size": 7}, "all"):
        with pytest.raises(ConfigError, match="from: no run of the main grid has"):
            chosen_cells(cells, nothing, "from")


def test_costly_runs_weigh_more(cells):
    by_name = {cell.row.name: cell.weight for cell in cells}
    assert by_name["UniSRec, 50 % of users, 64 wide, 2 deep"] == 2 * by_name["UniSRec, 25 % of users, 64 wide, 2 deep"]


def test_a_run_that_starts_from_one_that_is_predicted_waits_too(cells):
    waiting = {cell.row.name for cell in cells if not cell.is_released(set())}
    assert "fine-tuned, from UniSRec, 50 % of users, 256 wide, 2 deep" in waiting
    assert "fine-tuned, from UniSRec, 50 % of users, 64 wide, 2 deep" not in waiting
    assert "from scratch, UniSRec, 256 wide, 2 deep" not in waiting
