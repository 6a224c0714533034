"""Trials of tuning: which values are tried together, by optuna's sampler.

Nothing is stored: the sampler is asked from the start each time, and told what the finished trials came to. So the
same space, seed and figures give the same trials after a restart.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice, product

from recbole_mpo.common.errors import DependencyError

# So many trials are drawn at random, before any of them is finished; each later one when all before it are.
OPENING = 10
# How often the sampler is asked for a trial that was not tried yet, before one near its last is taken.
ATTEMPTS = 10

Space = Mapping[str, tuple]
# Returns the settings that matter of those drawn: others are without effect beside them.
Effective = Callable[[dict], dict]


def count_trials(space: Space, most: int, effective: Effective) -> int:
    """Return how many different trials there are, at most ``most``."""
    return sum(1 for _ in islice(_different(space, effective), most))


def replay_trials(
    space: Space, count: int, seed: int, effective: Effective, outcome: Callable[[dict], float | None]
) -> list[dict]:
    """Return the settings of the trials that can be told so far, in order, no two alike.

    Args:
        space: the values to try, by setting.
        count: number of trials; no more than there are different ones.
        seed: seed of the sampler.
        effective: returns the settings that matter of those drawn.
        outcome: returns how good settings are, NaN if their run failed, and None if that is not known yet.

    Raises:
        DependencyError: optuna is not installed.
    """
    with _quiet_optuna() as optuna:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=OPENING)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        asking = _Asking(optuna, study, space, effective, random.Random(seed))
        asked = [asking.ask() for _ in range(min(count, OPENING))]
        outcomes = [outcome(settings) for _, settings in asked]
        if None in outcomes:
            return [settings for _, settings in asked]
        for (trial, _), value in zip(asked, outcomes, strict=True):
            asking.tell(trial, value)
        while len(asked) < count:
            asked.append(asking.ask())
            value = outcome(asked[-1][1])
            if value is None:
                break
            asking.tell(asked[-1][0], value)
        return [settings for _, settings in asked]


def best_trial(outcomes: list[float | None], count: int) -> int | None:
    """Return the place of the best trial, the first of equal ones; None unless all are known and one succeeded.

    Args:
        outcomes: how good each trial is, NaN if it failed, None if that is not known yet.
        count: number of trials.
    """
    if len(outcomes) < count or None in outcomes:
        return None
    succeeded = [place for place, value in enumerate(outcomes) if not math.isnan(value)]
    return max(succeeded, key=lambda place: outcomes[place], default=None)


class _Asking:
    """Asks a study for trials that were not tried yet."""

    def __init__(self, optuna, study, space: Space, effective: Effective, draw: random.Random):
        self._optuna, self._study, self._space, self._effective, self._draw = optuna, study, space, effective, draw
        # Places of the values, since a value may be a list.
        self._choices = {
            key: optuna.distributions.CategoricalDistribution(range(len(values))) for key, values in space.items()
        }
        self._seen: set[str] = set()

    def ask(self):
        """Return a trial and its settings."""
        for _ in range(ATTEMPTS):
            trial, settings = self._next()
            if repr(settings) not in self._seen:
                break
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.enqueue_trial(self._untried_near(trial.params))
            trial, settings = self._next()
        self._seen.add(repr(settings))
        return trial, settings

    def tell(self, trial, value: float):
        """Note how good a trial is."""
        state = self._optuna.trial.TrialState.FAIL if math.isnan(value) else None
        self._study.tell(trial, None if state else value, state=state)

    def _next(self):
        trial = self._study.ask(self._choices)
        return trial, self._settings(trial.params)

    def _settings(self, places: Mapping[str, int]) -> dict:
        return self._effective({key: values[places[key]] for key, values in self._space.items()})

    def _untried_near(self, places: Mapping[str, int]) -> dict[str, int]:
        """Return the places of a trial that was not tried yet, with one setting changed if there is such a one."""
        changed = [{**places, key: place} for key, values in self._space.items() for place in range(len(values))]
        self._draw.shuffle(changed)
        anywhere = (chosen for chosen, _ in _different(self._space, self._effective))
        return next(one for one in chain(changed, anywhere) if repr(self._settings(one)) not in self._seen)


def _different(space: Space, effective: Effective) -> Iterator[tuple[dict[str, int], dict]]:
    """Yield the places of the values of each trial that differs from all before, and its settings."""
    seen = set()
    for places in product(*(range(len(values)) for values in space.values())):
        chosen = dict(zip(space, places, strict=True))
        settings = effective({key: space[key][place] for key, place in chosen.items()})
        if repr(settings) not in seen:
            seen.add(repr(settings))
            yield chosen, settings


@contextmanager
def _quiet_optuna():
    """Yield optuna, which else prints a line per study and trial.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import optuna
    except ImportError as problem:
        raise DependencyError("tune needs optuna; run: pip install 'recbole-mpo[tune]'") from problem
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(level)
