"""The runs of a comparison: models with their settings, each on every seed, read from an experiment file."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from recbole_mpo.common.errors import ConfigError, RecboleMPOError
from recbole_mpo.common.rank_gains import GAINS
from recbole_mpo.common.schema import for_model, read_schema, recbole_model_settings
from recbole_mpo.common.setting import Setting
from recbole_mpo.quick_start.planned_run import Identity, PlannedRun
from recbole_mpo.quick_start.registry import find_model

# Keys of the experiment file with the runs and with what to tune; every other one is a setting of all runs.
RUNS, TUNE = "runs", "tune"
# Settings that the comparison itself gives to each run.
OWN = ("dataset", "seed", "checkpoint_dir", "run_label")


@dataclass(frozen=True)
class Row:
    """One row of the comparison: a model with its settings.

    Attributes:
        name: what the report shows.
        model: canonical name of the model.
        settings: its settings, except dataset and seed.
        seeds: the seeds to run it with.
        own: names of the settings that it gives itself.
        tunes: whether it takes part in tuning.
    """

    name: str
    model: str
    settings: dict
    seeds: tuple[int, ...]
    own: frozenset[str] = frozenset()
    tunes: bool = True


@dataclass(frozen=True)
class Cell:
    """One run of a comparison.

    Attributes:
        row: the row to which it belongs.
        dataset: name of the dataset.
        seed: the seed.
        plan: the run with its settings checked.
        trial: its number, from 1, if it is a trial of tuning.
    """

    row: Row
    dataset: str
    seed: int
    plan: PlannedRun
    trial: int | None = None

    @classmethod
    def of(cls, row: Row, dataset: str, seed: int, prepares: bool = False) -> "Cell":
        """Return a run with checked settings.

        Args:
            row: the row.
            dataset: name of the dataset.
            seed: the seed.
            prepares: whether to prepare a known dataset that is missing.

        Raises:
            RecboleMPOError: it cannot be planned.
        """
        plan = PlannedRun.of(row.model, dataset, {**row.settings, "seed": seed}, prepares)
        _check_comparable(plan.experiment.config)
        return cls(row, dataset, seed, plan)

    @property
    def title(self) -> str:
        """Return the name of the run for people."""
        trial = "" if self.trial is None else f"trial {self.trial}, "
        return f"{self.row.name}, {self.dataset}, {trial}seed {self.seed}"

    @property
    def key(self) -> tuple[Identity, int]:
        """Return what decides the figures of the run.

        Raises:
            CheckpointError: its file of pre-trained weights is missing.
        """
        return self.plan.identity, self.seed

    @property
    def settings(self) -> dict:
        """Return all settings of the run."""
        return {**self.row.settings, "seed": self.seed}


def _check_comparable(config):
    """Refuse a run that would leave no ranks, by which runs are compared, or that is several runs."""
    others = [metric for metric in config["metrics"] if metric.lower() not in GAINS]
    if others or config["eval_mode"] != "ranks" or {*config["eval_args"]["mode"].values()} != {"full"}:
        raise ConfigError(
            f"runs are compared by the ranks of their targets: leave eval_mode=ranks, mode=full in eval_args, and "
            f"metrics among {', '.join(GAINS)}"
        )
    if config["mpo_strategy"] == "auto":
        raise ConfigError("mpo_strategy=auto makes several runs: compare the strategies as rows, or run it by itself")


def read_rows(content: dict, seeds: Sequence[int], overrides: dict) -> list[Row]:
    """Return the rows that an experiment file names.

    A setting of all runs is given to the models that use it; one of a single run must be one that its model uses.

    Args:
        content: content of the file, without the options of the command.
        seeds: the seeds of rows that do not name their own.
        overrides: settings that win over those of the file.

    Raises:
        ConfigError: there are no runs, or one has a setting that it cannot have.
    """
    runs = content.get(RUNS)
    if not isinstance(runs, dict) or not runs:
        raise ConfigError(
            f"{RUNS} must map names to settings, as in {RUNS}: {{UniSRec: {{}}, MPORec: {{n_layers: 1}}}}"
        )
    shared = {key: value for key, value in {**content, **overrides}.items() if key not in (RUNS, TUNE)}
    _refuse_own(shared, "all runs")
    rows = [_row(str(name), given, shared, seeds) for name, given in runs.items()]
    rows = [_without_others(row, {other.model for other in rows}) for row in rows]
    for key in shared:
        if not any(key in row.settings for row in rows):
            raise ConfigError(f"{key} is given for all runs, but none of their models uses it; leave it out")
    return rows


def _without_others(row: Row, models: set[str]) -> Row:
    """Return a row without the settings of all runs that only others of these models have in RecBole's files."""
    known = read_schema()
    foreign = {
        key
        for key in row.settings.keys() - row.own
        if key not in known.settings
        and key not in recbole_model_settings(row.model)
        and any(key in recbole_model_settings(model) for model in models)
    }
    return replace(row, settings={key: value for key, value in row.settings.items() if key not in foreign})


def _row(name: str, given, shared: dict, seeds: Sequence[int]) -> Row:
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise ConfigError(f"{RUNS}: {name} must map settings to values, not {given!r}")
    _refuse_own(given, name)
    with naming(name):
        model = find_model(str(given.get("model", name))).name
        tunes = given.get(TUNE, True)
        Setting(TUNE, "bool").check(tunes)
    own = {key: value for key, value in given.items() if key not in ("model", "seeds", TUNE)}
    settings = {**for_model(shared, model), **own}
    return Row(name, model, settings, _seeds(name, given.get("seeds", seeds)), frozenset(own), tunes)


def _seeds(name: str, given) -> tuple[int, ...]:
    seeds = tuple(given) if isinstance(given, list | tuple) else (given,)
    wrong = [seed for seed in seeds if not isinstance(seed, int) or isinstance(seed, bool)]
    if wrong or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"{RUNS}: the seeds of {name} must be different whole numbers, not {given!r}")
    return seeds


def _refuse_own(settings: dict, name: str):
    own = [key for key in OWN if key in settings]
    if own:
        raise ConfigError(f"{RUNS}: {name}: {', '.join(own)} cannot be set here, the comparison sets them for each run")


def plan_cells(rows: Sequence[Row], dataset: str, prepares: bool = False) -> list[Cell]:
    """Return the runs of all rows on one dataset, the first seed of every row first.

    Args:
        rows: the rows.
        dataset: name of the dataset.
        prepares: whether to prepare a known dataset that is missing.

    Raises:
        RecboleMPOError: a run cannot be planned; the message names its row.
    """
    cells, planned = [], {}
    for place in range(max((len(row.seeds) for row in rows), default=0)):
        for row in rows:
            if place >= len(row.seeds):
                continue
            with naming(row.name):
                cell = Cell.of(row, dataset, row.seeds[place], prepares=prepares)
                key = cell.key
            refuse_twins(planned, key, row.name)
            cells.append(cell)
    return cells


def refuse_twins(planned: dict, key, name: str):
    """Note a row's name by what decides its figures.

    Raises:
        ConfigError: another row has the same figures.
    """
    first = planned.setdefault(key, name)
    if first != name:
        raise ConfigError(f"{RUNS}: {first} and {name} are the same run; leave one of them out")


@contextmanager
def naming(name: str):
    """Name the row in the message of an error that is raised in the block."""
    try:
        yield
    except RecboleMPOError as problem:
        raise type(problem)(f"{RUNS}: {name}: {problem}") from problem
