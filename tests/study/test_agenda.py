"""What a comparison has to do, and in which order."""

import math

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.agenda import Agenda
from recbole_mpo.study.matrix import read_rows
from recbole_mpo.study.tuning import Tuning

RATES = Tuning(2, settings={"learning_rate": (0.1, 0.2)})


@pytest.fixture
def agenda(tiny_settings):
    """Returns the agenda of some runs on ``tiny``."""

    def make(runs, tuning=RATES):
        rows = read_rows({"data_path": tiny_settings["data_path"], "runs": runs}, [1, 2], {})
        return Agenda.of(rows, ["tiny"], tuning)

    return make


def rate_of(cell):
    return cell.settings.get("learning_rate", 0.0)


def test_first_seeds_come_first_and_trials_after_runs(agenda):
    plan = agenda({"UniSRec": {}, "Pop": {"seeds": 5}, "CoVisit": {}})
    titles = [
        "Pop, tiny, seed 5",
        "CoVisit, tiny, seed 1",
        "UniSRec, tiny, trial 1, seed 1",
        "UniSRec, tiny, trial 2, seed 1",
        "CoVisit, tiny, seed 2",
        "UniSRec, tiny, seed 2",
    ]
    assert [slot.title for slot in plan.slots] == titles
    assert [cell.title for cell in plan.cells(rate_of)] == titles
    assert [cell and cell.title for cell in plan.cells(lambda cell: None)] == [*titles[:5], None]


def test_a_tuned_row_shows_the_chosen_trial_and_the_other_seeds(agenda):
    plan = agenda({"UniSRec": {}, "Pop": {"seeds": 5}})
    assert [title for title, _ in plan.runs("Pop", "tiny", rate_of)] == ["Pop, tiny, seed 5"]
    (_, first), (title, second) = plan.runs("UniSRec", "tiny", rate_of)
    assert (first.seed, second.seed, rate_of(first), rate_of(second)) == (1, 2, 0.2, 0.2)
    assert first.trial is not None and title == "UniSRec, tiny, seed 2"
    one = plan.cells(rate_of)[1]
    runs = plan.runs("UniSRec", "tiny", lambda cell: 0.1 if rate_of(cell) == rate_of(one) else None)
    assert runs == [("UniSRec, tiny, seed 1 (1 of 2 trials are done)", None), ("UniSRec, tiny, seed 2", None)]
    (_, failed), (_, other) = plan.runs("UniSRec", "tiny", lambda cell: math.nan)
    assert failed.trial == 1 and other is None


def test_rows_that_tune_the_same_are_refused_and_a_tuned_one_may_stand_beside_itself(agenda):
    with pytest.raises(ConfigError, match="runs: UniSRec and again are the same run"):
        agenda({"UniSRec": {}, "again": {"model": "UniSRec"}})
    plan = agenda({"UniSRec": {"seeds": 1}, "as it is": {"model": "UniSRec", "tune": False, "seeds": 1}})
    assert len(plan.slots) == 3


@pytest.mark.parametrize(
    ("runs", "tuning", "message"),
    [
        ({"Pop": {}}, Tuning(2), "tune: no run has anything to tune"),
        ({"UniSRec": {"learning_rate": 0.1}}, RATES, "tune: no run has anything to tune"),
        (
            {"UniSRec": {"temperature": 0.1}},
            Tuning(2, settings={"learning_rate": None, "temperature": None}),
            "tune: no run tunes temperature: each that uses it gives it itself",
        ),
    ],
)
def test_what_no_row_tunes_is_refused(agenda, runs, tuning, message):
    with pytest.raises(ConfigError, match=message):
        agenda(runs, tuning)
