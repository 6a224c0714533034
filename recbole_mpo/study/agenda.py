"""What a comparison has to do: the runs of its rows, after the trials of the rows that are tuned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.study.matrix import TUNE, Cell, Row, plan_cells, refuse_twins
from recbole_mpo.study.row_search import Outcome, RowSearch
from recbole_mpo.study.tuning import Tuning


@dataclass(frozen=True)
class Agenda:
    """The runs of one dataset or several.

    Attributes:
        rows: names of the rows.
        fixed: the runs of the rows that are not tuned.
        searches: the tuning of the others.
    """

    rows: tuple[str, ...]
    fixed: tuple[Cell, ...]
    searches: tuple[RowSearch, ...] = ()

    @classmethod
    def of(
        cls, rows: Sequence[Row], datasets: Sequence[str], tuning: Tuning | None = None, prepares: bool = False
    ) -> "Agenda":
        """Return what there is to do.

        Args:
            rows: the rows.
            datasets: names of the datasets.
            tuning: what to tune; None for nothing.
            prepares: whether to prepare a known dataset that is missing.

        Raises:
            ConfigError: two rows are the same run; or a setting that is to be tuned is tuned in no row.
            RecboleMPOError: a run cannot be planned; the message names its row.
        """
        fixed, searches = [], []
        for dataset in datasets:
            wanted = [RowSearch.of(row, dataset, tuning, prepares) for row in rows if tuning]
            here = [search for search in wanted if search]
            tuned, planned = {search.row.name for search in here}, {}
            for search in here:
                refuse_twins(planned, (search.base.key, repr(search.space)), search.row.name)
            fixed += plan_cells([row for row in rows if row.name not in tuned], dataset, prepares)
            searches += here
        if tuning:
            _refuse_idle(tuning, searches)
        return cls(tuple(row.name for row in rows), tuple(fixed), tuple(searches))

    @property
    def slots(self) -> list[Cell]:
        """Return all runs, trials included; those of tuned rows with settings of their row alone, for title and time.

        The first seed of every row comes first, trials after runs.
        """
        slots = self._slots
        return [slots[place] for place in self._order]

    def cells(self, outcome: Outcome) -> list[Cell | None]:
        """Return the run of each slot, None as long as its settings are not known.

        Args:
            outcome: what is known of runs.

        Raises:
            DependencyError: there is something to tune, and optuna is not installed.
            RecboleMPOError: settings that are tried do not fit together; the message names the row.
        """
        cells = [*self.fixed, *(cell for search in self.searches for cell in search.cells(outcome))]
        return [cells[place] for place in self._order]

    def runs(self, name: str, dataset: str, outcome: Outcome) -> list[tuple[str, Cell | None]]:
        """Return title and run of each seed of a row on a dataset; a run is None as long as its settings are not known.

        The run of a tuned row's first seed is the trial that was chosen; if all trials failed, the first of them.
        """
        for search in self.searches:
            if (search.row.name, search.base.dataset) == (name, dataset):
                return _runs_of(search, outcome)
        return [(cell.title, cell) for cell in self.fixed if (cell.row.name, cell.dataset) == (name, dataset)]

    @property
    def _slots(self) -> list[Cell]:
        return [*self.fixed, *(slot for search in self.searches for slot in search.slots)]

    @property
    def _order(self) -> list[int]:
        slots = self._slots
        datasets = list(dict.fromkeys(slot.dataset for slot in slots))

        def rank(place: int):
            slot = slots[place]
            return datasets.index(slot.dataset), slot.row.seeds.index(slot.seed), slot.trial is not None

        return sorted(range(len(slots)), key=rank)


def _runs_of(search: RowSearch, outcome: Outcome) -> list[tuple[str, Cell | None]]:
    trials = search.trials(outcome)
    outcomes = [outcome(trial) for trial in trials]
    chosen = search.chosen(trials, outcome)
    if chosen is None and len(trials) == search.count and all(one is not None and math.isnan(one) for one in outcomes):
        chosen = trials[0]
    done = sum(one is not None for one in outcomes)
    title = f"{search.base.title} ({done} of {search.count} trials are done)"
    others = zip(search.slots[search.count :], search.cells(outcome)[search.count :], strict=True)
    return [(title, chosen), *((slot.title, cell) for slot, cell in others)]


def _refuse_idle(tuning: Tuning, searches: Sequence[RowSearch]):
    """Refuse to tune what is tuned in no row."""
    if not searches:
        raise ConfigError(f"{TUNE}: no run has anything to tune; leave {TUNE} out")
    idle = [key for key in tuning.settings or () if not any(key in search.space for search in searches)]
    if idle:
        raise ConfigError(
            f"{TUNE}: no run tunes {idle[0]}: each that uses it gives it itself, has {TUNE}: false, or does not read "
            "it beside its other settings; leave it out"
        )
