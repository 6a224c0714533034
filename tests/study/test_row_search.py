"""The tuning of one row, with made figures."""

import math
from types import SimpleNamespace

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.matrix import read_rows
from recbole_mpo.study.row_search import Outcomes, RowSearch
from recbole_mpo.study.tuning import Tuning

RATES = Tuning(3, settings={"learning_rate": (0.1, 0.2, 0.3, 0.4)})


@pytest.fixture
def search(tiny_settings):
    """Returns the tuning of a row on ``tiny``."""
    shared = {key: tiny_settings[key] for key in ("data_path", "cache_dir")}

    def make(tuning=RATES, **given):
        given = {"model": "UniSRec", **given}
        (row,) = read_rows({"runs": {"a row": given}}, [1, 2], shared)
        return RowSearch.of(row, "tiny", tuning)

    return make


def rate_of(cell):
    return cell.settings["learning_rate"]


def test_trials_come_first_and_the_other_seeds_use_what_they_chose(search):
    tuned = search()
    assert [slot.title for slot in tuned.slots] == [
        *(f"a row, tiny, trial {number}, seed 1" for number in (1, 2, 3)),
        "a row, tiny, seed 2",
    ]
    *trials, other = tuned.cells(lambda cell: None)
    assert other is None and len({rate_of(trial) for trial in trials}) == 3
    assert [trial.title for trial in trials] == [slot.title for slot in tuned.slots[:3]]
    assert {trial.seed for trial in trials} == {1} and trials[0].plan.seed == 1

    best = max(map(rate_of, trials))
    *again, other = tuned.cells(rate_of)
    assert list(map(rate_of, again)) == list(map(rate_of, trials))
    assert (rate_of(other), other.seed, other.plan.seed, other.trial) == (best, 2, 2, None)
    assert rate_of(tuned.chosen(again, rate_of)) == best and tuned.tried(again[0]) == {
        "learning_rate": rate_of(again[0])
    }


def test_of_equal_trials_the_first_is_chosen_and_failed_ones_are_not(search):
    tuned = search()
    trials = tuned.trials(lambda cell: 0.5)
    assert tuned.chosen(trials, lambda cell: 0.5).trial == 1
    first = rate_of(trials[0])
    assert tuned.chosen(trials, lambda cell: math.nan if rate_of(cell) == first else 0.5).trial == 2
    assert tuned.chosen(trials, lambda cell: math.nan) is None
    assert tuned.chosen(trials, lambda cell: None if rate_of(cell) == first else 0.5) is None
    assert tuned.cells(lambda cell: math.nan)[-1] is None


def test_a_row_has_no_more_trials_than_its_values_give(search):
    tuned = search(Tuning(9, settings={"learning_rate": (0.1, 0.2)}))
    assert (tuned.wanted, tuned.count, len(tuned.slots)) == (9, 2, 3)


def test_a_row_may_have_nothing_to_tune(search):
    assert search(tune=False) is None
    assert search(learning_rate=0.1) is None


def test_values_that_do_not_fit_together_name_row_and_settings(search):
    tuned = search(Tuning(2, settings={"train_users": (0.5, 0.6)}), train_mode="pairwise")
    with pytest.raises(ConfigError, match=r"runs: a row: tune tries \{'train_users': 0\..\}: train_users needs"):
        tuned.cells(lambda cell: None)


def test_what_is_known_of_a_run_are_its_record_and_whether_it_failed_now(search):
    (trial, *_) = search().trials(lambda cell: None)
    records = []
    outcomes = Outcomes(SimpleNamespace(finished=lambda plan: records[0] if records else None))
    assert outcomes(trial) is None
    outcomes.failed[trial.key] = "no message"
    assert math.isnan(outcomes(trial))
    records.append(({"valid": {"ndcg@10": 0.25}}, "record.json"))
    assert outcomes(trial) == 0.25
    records[0] = ({"valid": {}}, "record.json")
    assert math.isnan(outcomes(trial))
