"""The ``tune`` block of an experiment file."""

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.matrix import read_rows
from recbole_mpo.study.tuning import Tuning, effective_settings, read_tuning

RUNS = {"UniSRec": {}, "fast": {"model": "MPORec", "learning_rate": 0.01}, "SASRec": {}, "Pop": {}}


def read(block, runs=None, **shared):
    content = {"tune": block, "runs": runs or RUNS, **shared}
    rows = read_rows(content, [1], {})
    return read_tuning(content, {}, rows), {row.name: row for row in rows}


def test_a_file_may_tune_nothing():
    assert read(None)[0] is read(False)[0] is None
    content = {"tune": {"trials": 3}, "runs": RUNS}
    assert read_tuning(content, {"tune": False}, read_rows(content, [1], {})) is None


def test_values_are_given_or_those_of_the_schema():
    tuning, _ = read({"trials": 8, "seed": 3, "settings": {"learning_rate": [0.1, 0.2], "dilations": [[1], [1, 4]]}},
                     {**RUNS, "PeterRec": {}})  # fmt: skip
    assert tuning == Tuning(8, 3, {"learning_rate": (0.1, 0.2), "dilations": ([1], [1, 4])})
    assert read({"trials": 1, "settings": ["temperature"]})[0] == Tuning(1, 2020, {"temperature": None})
    assert read({"trials": 1})[0] == Tuning(1)


def test_a_row_tries_the_named_settings_that_it_uses_and_does_not_give():
    tuning, rows = read({"trials": 2, "settings": {"learning_rate": [0.1, 0.2], "temperature": [0.05, 0.1]}})
    spaces = {name: tuning.values_for(row, {}) for name, row in rows.items()}
    rates, temperatures = {"learning_rate": (0.1, 0.2)}, {"temperature": (0.05, 0.1)}
    assert spaces == {"UniSRec": rates | temperatures, "fast": temperatures, "SASRec": rates, "Pop": {}}


def test_a_row_may_stay_as_it_is():
    tuning, rows = read({"trials": 2, "settings": ["learning_rate"]}, {"UniSRec": {"tune": False}, "SASRec": {}})
    assert tuning.values_for(rows["UniSRec"], {}) == {}
    assert tuning.values_for(rows["SASRec"], {}) == {"learning_rate": (3e-4, 1e-3, 3e-3)}


def test_without_names_all_settings_with_values_worth_trying_are_tuned():
    tuning, rows = read({"trials": 2}, n_layers=1)
    config = {"item_input": "text", "id_side": "output", "evidence": [], "adapter": "none"}
    space = tuning.values_for(rows["UniSRec"], config)
    assert {"learning_rate", "temperature", "hidden_size", "n_exps"} <= space.keys()
    assert space["temperature"] == (0.03, 0.05, 0.07, 0.1)
    # One is given for all runs, the others are not read.
    assert not space.keys() & {"n_layers", "id_size", "evidence_window", "patch_reduction", "n_heads"}
    assert tuning.values_for(rows["Pop"], {}) == {}


def test_what_other_settings_need_is_tuned_beside_them():
    tuning, rows = read({"trials": 2})
    ids = tuning.values_for(rows["UniSRec"], {"item_input": "text+id", "id_side": "output", "evidence": ["words"]})
    assert {"id_size", "id_dropout_prob", "evidence_window"} <= ids.keys()


def test_weights_to_start_from_have_decided_sizes():
    tuning, rows = read({"trials": 2})
    space = tuning.values_for(rows["UniSRec"], {"pretrained": "a.pth"})
    assert "learning_rate" in space and not space.keys() & {"hidden_size", "n_layers", "n_exps"}
    named, rows = read({"trials": 2, "settings": ["n_layers"]})
    assert "n_layers" in named.values_for(rows["UniSRec"], {"pretrained": "a.pth"})


def test_a_setting_that_depends_on_a_tuned_one_is_tuned_where_it_is_read():
    block = {"trials": 2, "settings": {"item_input": ["text", "text+id"], "id_size": [32, 128]}}
    tuning, rows = read(block, {"UniSRec": {}})
    config = {"item_input": "text", "id_side": "output"}
    assert tuning.values_for(rows["UniSRec"], config).keys() == {"item_input", "id_size"}
    assert effective_settings("UniSRec", {"item_input": "text", "id_size": 32}, config) == {"item_input": "text"}
    both = {"item_input": "text+id", "id_size": 32}
    assert effective_settings("UniSRec", both, config) == both


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (3, "tune must be a mapping such as {trials: 8}, not 3"),
        ({"trial": 3}, "unknown key 'trial' in tune (did you mean 'trials'?)"),
        ({}, "tune needs trials"),
        ({"trials": 0}, "tune.trials must be at least 1, not 0"),
        ({"trials": 1.5}, "tune.trials must be a whole number"),
        ({"trials": 1, "seed": -1}, "tune.seed must be between 0 and 4294967295, not -1"),
        ({"trials": 1, "settings": "learning_rate"}, "tune.settings must be a mapping, not 'learning_rate'"),
        ({"trials": 1, "settings": {"learning_rate": 0.1}}, "tune.settings.learning_rate must be a list such as"),
        ({"trials": 1, "settings": {"learning_rate": []}}, "tune.settings.learning_rate must be a list such as"),
        ({"trials": 1, "settings": {"learning_rate": [0.1, 0.1]}}, "tune: learning_rate: 0.1 is given twice"),
        ({"trials": 1, "settings": {"temperature": [0]}}, "tune: runs: UniSRec: temperature must be above 0, not 0"),
        ({"trials": 1, "settings": ["learning_rat"]}, "tune: unknown setting 'learning_rat' (did you mean"),
        ({"trials": 1, "settings": ["ccdr_words"]}, "tune: none of the runs uses ccdr_words (UniSRec, fast, SASRec"),
        ({"trials": 1, "settings": ["n_heads"]}, "tune: runs: UniSRec: no values of n_heads are known"),
        ({"trials": 1, "settings": ["seed"]}, "tune: seed cannot be tuned, the comparison sets it for each run"),
        ({"trials": 1, "settings": ["item_chunk"]}, "tune: item_chunk cannot be tuned, figures do not depend on it"),
    ],
)
def test_what_cannot_be_tuned_is_refused_by_its_name(block, message):
    with pytest.raises(ConfigError) as refused:
        read(block)
    assert str(refused.value).startswith(message)


def test_a_setting_is_given_for_all_runs_or_tuned():
    with pytest.raises(ConfigError, match="tune: learning_rate is also given for all runs"):
        read({"trials": 1, "settings": ["learning_rate"]}, learning_rate=0.1)
