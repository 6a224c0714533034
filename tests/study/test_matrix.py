"""The runs that an experiment file names."""

from pathlib import Path

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import read_yaml
from recbole_mpo.study.matrix import plan_cells, read_rows

PACKAGED = sorted((Path(__file__).resolve().parents[2] / "properties" / "experiment").glob("*.yaml"))
COMPARISONS = [path for path in PACKAGED if read_yaml(path)["command"] == "compare"]


def test_settings_of_all_runs_reach_the_models_that_use_them():
    content = {"epochs": 3, "mpo_num_cores": 3, "runs": {"UniSRec": None, "MPORec": {"n_layers": 1}}}
    dense, cores = read_rows(content, [1, 2], {"epochs": 5})
    assert (dense.name, dense.model, dense.settings) == ("UniSRec", "UniSRec", {"epochs": 5})
    assert cores.settings == {"epochs": 5, "mpo_num_cores": 3, "n_layers": 1}
    assert dense.seeds == cores.seeds == (1, 2)


def test_a_run_may_name_its_model_and_seeds_and_wins_over_all_runs():
    content = {"epochs": 3, "runs": {"+ 2": {"model": "mporec-expand", "mpo_expand": 2, "epochs": 9, "seeds": 7}}}
    (row,) = read_rows(content, [1, 2], {})
    assert (row.name, row.model, row.seeds) == ("+ 2", "MPORecExpand", (7,))
    assert row.settings == {"epochs": 9, "mpo_expand": 2}


def test_a_run_that_names_no_weights_is_from_scratch_whatever_the_others_start_from():
    content = {"runs": {"Pop": {"pretrained": None}, "UniSRec": {}}}
    counting, dense = read_rows(content, [1], {"pretrained": "weights.pth"})
    assert counting.settings == {"pretrained": None} and dense.settings == {"pretrained": "weights.pth"}


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("pretrained", [False, True])
def test_every_packaged_comparison_can_be_planned(tiny_settings, tmp_path, path, pretrained):
    content = read_yaml(path)
    names = {key: content.pop(key, None) for key in ("command", "title", "dataset", "seeds", "reference", "reuse")}
    (tmp_path / "weights.pth").write_text("known by its hash")
    weights = {"pretrained": str(tmp_path / "weights.pth")} if pretrained else {}
    rows = read_rows(content, [1], {"data_path": tiny_settings["data_path"], **weights})
    assert len(plan_cells(rows, "tiny")) >= len(rows) and names["reference"] in [row.name for row in rows]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "runs must map names to settings"),
        ({"runs": {}}, "runs must map names to settings"),
        ({"runs": ["UniSRec"]}, "runs must map names to settings"),
        ({"runs": {"UniSRec": 3}}, "runs: UniSRec must map settings to values, not 3"),
        ({"runs": {"UniSrek": {}}}, "runs: UniSrek: unknown model 'UniSrek' (did you mean 'UniSRec'?)"),
        ({"runs": {"UniSRec": {"seed": 3}}}, "runs: UniSRec: seed cannot be set here"),
        ({"runs": {"UniSRec": {}}, "checkpoint_dir": "x"}, "runs: all runs: checkpoint_dir cannot be set here"),
        ({"runs": {"UniSRec": {"seeds": []}}}, "the seeds of UniSRec must be different whole numbers, not []"),
        ({"runs": {"UniSRec": {"seeds": [1, 1]}}}, "the seeds of UniSRec must be different whole numbers"),
        ({"runs": {"UniSRec": {"seeds": [True]}}}, "the seeds of UniSRec must be different whole numbers"),
        ({"runs": {"UniSRec": {}}, "mpo_num_cores": 3}, "mpo_num_cores is given for all runs, but none of their"),
    ],
)
def test_what_no_run_can_have_is_refused_with_its_name(content, message):
    with pytest.raises(ConfigError) as refused:
        read_rows(content, [2020], {})
    assert message in str(refused.value)


def test_the_first_seed_of_every_row_comes_first(tiny_settings):
    shared = {key: tiny_settings[key] for key in ("data_path", "cache_dir")}
    content = {"runs": {"Pop": {"seeds": 5}, "CoVisit": {}}}
    cells = plan_cells(read_rows(content, [1, 2], shared), "tiny")
    assert [(cell.row.name, cell.seed) for cell in cells] == [("Pop", 5), ("CoVisit", 1), ("CoVisit", 2)]
    assert cells[1].plan.identity == cells[2].plan.identity != cells[0].plan.identity
    assert cells[1].settings["seed"] == 1 and cells[1].title == "CoVisit, tiny, seed 1"


def test_settings_of_all_runs_may_be_of_some_of_recboles_models_alone(tiny_settings):
    content = {"step": 2, "runs": {"SRGNN": {}, "UniSRec": {}}}
    graph, text = read_rows(content, [1], {})
    assert graph.settings == {"step": 2} and text.settings == {}
    with pytest.raises(ConfigError, match="runs: UniSRec: unknown setting 'step'"):
        plan_cells(read_rows({"runs": {"UniSRec": {"step": 2}}}, [1], {}), "tiny")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval_mode": "recbole"}, "runs are compared by the ranks of their targets: leave eval_mode=ranks"),
        ({"metrics": ["NDCG", "GAUC"]}, "runs are compared by the ranks of their targets"),
        ({"model": "MPORec", "mpo_strategy": "auto"}, "mpo_strategy=auto makes several runs"),
    ],
)
def test_runs_that_would_leave_no_ranks_of_their_own_are_refused(tiny_settings, settings, message):
    shared = {key: tiny_settings[key] for key in ("data_path", "cache_dir")}
    rows = read_rows({"runs": {"odd": {"model": "UniSRec", **settings}}}, [1], shared)
    with pytest.raises(ConfigError, match=f"runs: odd: {message}"):
        plan_cells(rows, "tiny")


def test_two_names_of_one_run_are_refused(tiny_settings):
    content = {"runs": {"Pop": {}, "most popular": {"model": "Pop"}}}
    rows = read_rows(content, [1], {"data_path": tiny_settings["data_path"]})
    with pytest.raises(ConfigError, match="Pop and most popular are the same run"):
        plan_cells(rows, "tiny")


def test_a_wrong_value_names_its_row_before_any_run_begins(tiny_settings):
    rows = read_rows({"runs": {"wide": {"model": "UniSRec", "hidden_size": -1}}}, [1], {})
    with pytest.raises(ConfigError, match="runs: wide: hidden_size"):
        plan_cells(rows, "tiny")
