"""The tuning of one row: its trials, each a run like any other, and what they choose."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from recbole_mpo.study.found_runs import FoundRuns
from recbole_mpo.study.matrix import TUNE, Cell, Row, naming
from recbole_mpo.study.trials import best_trial, count_trials, replay_trials
from recbole_mpo.study.tuning import Tuning, effective_settings

# Returns a run's figure on valid; NaN if it failed, None if it is not done.
Outcome = Callable[[Cell], float | None]


def valid_metric(cell: Cell) -> str:
    """Return the name of the metric by which a run is judged on valid, as its record has it."""
    return cell.plan.experiment.config["valid_metric"].lower()


@dataclass
class Outcomes:
    """What is known of runs.

    A run that failed in an earlier session is not done: it is tried again.

    Attributes:
        found: the records.
        failed: why the runs of this session failed, by their key.
    """

    found: FoundRuns
    failed: dict = field(default_factory=dict)

    def __call__(self, cell: Cell) -> float | None:
        """Return a run's figure on valid; NaN if it failed or has none, None if it is not done."""
        done = self.found.finished(cell.plan)
        if done:
            return done[0]["valid"].get(valid_metric(cell), math.nan)
        return math.nan if cell.key in self.failed else None


@dataclass(frozen=True)
class RowSearch:
    """The tuning of one row on one dataset.

    Attributes:
        base: the row's first run without the tuned settings.
        space: the values to try, by setting.
        wanted: number of trials that the experiment asks for.
        count: number of trials, which are fewer if the space has not so many.
        seed: seed of the sampler.
    """

    base: Cell
    space: dict[str, tuple]
    wanted: int
    count: int
    seed: int
    _cells: dict = field(default_factory=dict, repr=False, compare=False)
    _replayed: dict = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Row, dataset: str, tuning: Tuning, prepares: bool = False) -> "RowSearch | None":
        """Return the tuning of a row; None if it has nothing to tune.

        Args:
            row: the row.
            dataset: name of the dataset.
            tuning: what the experiment says about tuning.
            prepares: whether to prepare a known dataset that is missing.

        Raises:
            RecboleMPOError: the row cannot be planned; the message names it.
        """
        if not row.tunes:
            return None
        with naming(row.name):
            base = Cell.of(row, dataset, row.seeds[0], prepares=prepares)
        config = base.plan.experiment.config.plain()
        space = tuning.values_for(row, config)
        count = count_trials(space, tuning.trials, lambda drawn: effective_settings(row.model, drawn, config))
        return cls(base, space, tuning.trials, count, tuning.seed) if space else None

    @property
    def row(self) -> Row:
        """Return the row."""
        return self.base.row

    @property
    def slots(self) -> list[Cell]:
        """Return the trials and then the runs on the other seeds, all with the settings of the base."""
        trials = [replace(self.base, trial=number) for number in range(1, self.count + 1)]
        return [*trials, *(replace(self.base, seed=seed) for seed in self.row.seeds[1:])]

    def cells(self, outcome: Outcome) -> list[Cell | None]:
        """Return the run of each slot, None as long as its settings are not known.

        Args:
            outcome: what is known of runs.

        Raises:
            DependencyError: optuna is not installed.
            RecboleMPOError: settings that are tried do not fit together; the message names the row.
        """
        trials = self.trials(outcome)
        chosen = self.chosen(trials, outcome)
        others = [self._cell(self.tried(chosen), seed) if chosen else None for seed in self.row.seeds[1:]]
        return [*trials, *[None] * (self.count - len(trials)), *others]

    def trials(self, outcome: Outcome) -> list[Cell]:
        """Return the trials whose settings are known, in order; arguments and errors as for :meth:`cells`."""
        last = self._replayed.get("trials", [])
        # Asking the sampler again takes a second, and tells nothing new before a trial has ended.
        if not last or self._replayed["outcomes"] != repr([outcome(trial) for trial in last]):
            last = self._replay(outcome)
            self._replayed["trials"] = last
            self._replayed["outcomes"] = repr([outcome(trial) for trial in last])
        return last

    def _replay(self, outcome: Outcome) -> list[Cell]:
        config, seed = self.base.plan.experiment.config.plain(), self.row.seeds[0]
        settings_of_trials = replay_trials(
            self.space,
            self.count,
            self.seed,
            lambda drawn: effective_settings(self.row.model, drawn, config),
            lambda settings: outcome(self._cell(settings, seed)),
        )
        return [replace(self._cell(one, seed), trial=number) for number, one in enumerate(settings_of_trials, 1)]

    def chosen(self, trials: list[Cell], outcome: Outcome) -> Cell | None:
        """Return the trial that is best on valid, the first of equal ones; None unless all are done."""
        place = best_trial([outcome(trial) for trial in trials], self.count)
        return None if place is None else trials[place]

    def tried(self, trial: Cell) -> dict:
        """Return the tuned settings of a trial."""
        return {key: trial.row.settings[key] for key in self.space if key in trial.row.settings}

    def _cell(self, settings: dict, seed: int) -> Cell:
        key = (repr(settings), seed)
        if key not in self._cells:
            row = replace(self.row, settings={**self.row.settings, **settings})
            with naming(f"{row.name}: {TUNE} tries {settings}"):
                self._cells[key] = Cell.of(row, self.base.dataset, seed)
        return self._cells[key]
