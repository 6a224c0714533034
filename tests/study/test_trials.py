"""Which values are tried together, after a restart too."""

import logging
import math
import sys

import pytest

from recbole_mpo.common.errors import DependencyError
from recbole_mpo.study.trials import OPENING, best_trial, count_trials, replay_trials

SPACE = {"rate": (1, 2, 3, 4), "dropout": (0.1, 0.2, 0.3), "layers": ([1], [1, 2])}


def as_drawn(settings):
    return settings


def replayed(space, count, outcomes, seed=5, effective=as_drawn):
    """The trials when the runs in ``outcomes`` have ended."""
    return replay_trials(space, count, seed, effective, lambda settings: outcomes.get(repr(settings)))


def goodness(settings):
    return math.nan if settings["rate"] == 3 else settings["rate"] * settings["dropout"]


def test_the_first_trials_are_known_at_once_and_each_later_one_after_those_before_it():
    outcomes, sizes = {}, []
    while len(trials := replayed(SPACE, OPENING + 3, outcomes)) > len(outcomes):
        sizes.append(len(trials))
        outcomes |= {repr(settings): goodness(settings) for settings in trials}
    assert sizes == [OPENING, OPENING + 1, OPENING + 2, OPENING + 3]
    assert len({repr(settings) for settings in trials}) == OPENING + 3


def test_the_same_figures_give_the_same_trials_again_in_whatever_order_the_runs_end():
    outcomes = {}
    while len(trials := replayed(SPACE, OPENING + 2, outcomes)) > len(outcomes):
        outcomes |= {repr(settings): goodness(settings) for settings in trials}
    assert replayed(SPACE, OPENING + 2, outcomes) == trials
    late_first = dict(list(outcomes.items())[3:])
    assert replayed(SPACE, OPENING + 2, late_first) == trials[:OPENING]
    assert replayed(SPACE, OPENING + 2, {}, seed=6) != trials[:OPENING]


def mean_of_later(sign):
    space = {"rate": tuple(range(10)), "layers": tuple(range(10))}
    trials = replay_trials(space, 25, 5, as_drawn, lambda settings: sign * settings["rate"])
    assert len({repr(settings) for settings in trials}) == 25
    return sum(settings["rate"] for settings in trials[OPENING:]) / 15


def test_later_trials_are_near_the_best_ones():
    assert mean_of_later(1) > mean_of_later(-1) + 1


def test_a_small_space_is_tried_whole():
    trials = replayed({"rate": (1, 2, 3), "dropout": (0.1, 0.2)}, 6, {})
    assert sorted((one["rate"], one["dropout"]) for one in trials) == [(r, d) for r in (1, 2, 3) for d in (0.1, 0.2)]


def without_idle(settings):
    return {key: value for key, value in settings.items() if key != "dropout" or settings["rate"] == 1}


def test_values_without_effect_make_no_other_trials():
    space = {"rate": (1, 2), "dropout": (0.1, 0.2)}
    assert count_trials(space, 9, without_idle) == 3
    trials = replayed(space, 3, {}, effective=without_idle)
    assert sorted(map(repr, trials)) == ["{'rate': 1, 'dropout': 0.1}", "{'rate': 1, 'dropout': 0.2}", "{'rate': 2}"]


def test_trials_are_counted_up_to_what_is_asked():
    assert count_trials(SPACE, 100, as_drawn) == 24
    assert count_trials(SPACE, 8, as_drawn) == 8
    assert count_trials({key: tuple(range(1000)) for key in "abcdef"}, 8, as_drawn) == 8


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [
        ([0.1, 0.3, 0.3], 1),
        ([math.nan, 0.1, math.nan], 1),
        ([math.nan] * 3, None),
        ([0.1, None, 0.3], None),
        ([0.1, 0.3], None),
    ],
)
def test_the_first_of_the_best_trials_is_chosen_when_all_are_known(outcomes, best):
    assert best_trial(outcomes, 3) == best


def test_optuna_says_nothing_and_is_left_as_it_was(capsys):
    import optuna

    before = optuna.logging.get_verbosity()
    assert before < logging.ERROR
    replayed(SPACE, 2, {})
    assert optuna.logging.get_verbosity() == before and capsys.readouterr() == ("", "")


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(DependencyError, match=r"tune needs optuna; run: pip install 'recbole-mpo\[tune\]'"):
        replayed(SPACE, 2, {})
