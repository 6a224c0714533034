"""The plan of a scaling study: which runs there are, which are predicted, and to what laws are fitted."""

from dataclasses import dataclass, replace
from itertools import product

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import for_model
from recbole_mpo.common.values import as_list, check_dataset_name
from recbole_mpo.quick_start.registry import find_model
from recbole_mpo.study.matrix import OWN, Row
from recbole_mpo.study.scaling.cells import (
    METRICS,
    NEEDED,
    TRANSFER,
    GridCell,
    chosen_cells,
    name_of,
    settings_defaults,
)
from recbole_mpo.study.scaling.transfer_cells import transfer_cells

# Keys of a plan that are no settings.
GRID, PREDICT, INNER = "grid", "predict", "inner_per_width"
KEYS = ("title", "dataset", "seeds", "metrics", GRID, TRANSFER, PREDICT, INNER)


@dataclass(frozen=True)
class Plan:
    """What a study runs and fits.

    Attributes:
        title: heading of the report.
        cells: its runs; each comes after the one that it starts from, and among others the costly ones come first.
        metrics: what laws are fitted to, as records name it: ``loss`` or metrics such as ``ndcg@10``.
        main: name of the grid whose runs are predicted and are started from, the first of the plan.
    """

    title: str
    cells: tuple[GridCell, ...]
    metrics: tuple[str, ...]
    main: str

    @classmethod
    def read(cls, content: dict, overrides: dict | None = None) -> "Plan":
        """Return the plan that a YAML file describes.

        Args:
            content: content of the file, without ``command``.
            overrides: settings that win over those of the file, in every run that uses them, and another dataset.

        Raises:
            ConfigError: the plan is not well described; the message names the key.
        """
        overrides = dict(overrides or {})
        content = {**content, "dataset": overrides.pop("dataset", content.get("dataset"))}
        own = [key for key in OWN if key in overrides or (key in content and key not in KEYS)]
        if own:
            raise ConfigError(f"{own[0]} is set by the study for each run; leave it out (--output names its folder)")
        check_dataset_name("dataset", content.get("dataset"))
        grids = content.get(GRID)
        if not isinstance(grids, dict) or not grids or not all(isinstance(axes, dict) for axes in grids.values()):
            raise ConfigError(f"{GRID} must map names to axes, as in {GRID}: {{size: {{hidden_size: [32, 64]}}}}")
        shared = {key: value for key, value in content.items() if key not in KEYS}
        cells = _grid_cells(content, grids, shared, overrides)
        _check_one_model(cells, next(iter(grids)))
        cells = _held_back(cells, content.get(PREDICT), next(iter(grids)))
        cells = sorted(cells, key=lambda cell: -cell.weight)
        if content.get(TRANSFER) is not None:
            main = [cell for cell in cells if next(iter(grids)) in cell.groups]
            cells += transfer_cells(main, content[TRANSFER], overrides)
        _check_needed(cells)
        metrics = tuple(as_list(content.get("metrics")) or METRICS)
        return cls(str(content.get("title") or "Scaling study"), tuple(cells), metrics, next(iter(grids)))

    def shard(self, number: int, count: int) -> tuple[GridCell, ...]:
        """Return every ``count``-th run from the ``number``-th on, counted from 1."""
        return self.cells[number - 1 :: count]


def _grid_cells(content: dict, grids: dict, shared: dict, overrides: dict) -> list[GridCell]:
    """Return the runs of all grids, each once, with the grids that have it."""
    cells: dict[tuple, GridCell] = {}
    for group, axes in grids.items():
        for values in product(*(value if isinstance(value, list | tuple) else [value] for value in axes.values())):
            chosen = dict(zip(axes, values, strict=True))
            row = _row(chosen, shared, overrides, content)
            for seed in row.seeds:
                key = row.name, seed
                groups = cells[key].groups if key in cells else ()
                if key in cells and _complete(cells[key].row) != _complete(row):
                    raise ConfigError(f"{GRID}: {group}: two different runs are both named {row.name!r}")
                first = cells[key].row if key in cells else row
                cells[key] = GridCell(first, content["dataset"], seed, tuple(dict.fromkeys((*groups, str(group)))))
    return list(cells.values())


def _check_one_model(cells: list[GridCell], main: str):
    models = dict.fromkeys(cell.row.model for cell in cells if main in cell.groups)
    if len(models) > 1:
        names = " and ".join(models)
        raise ConfigError(f"{GRID}: {main} has {names}, but laws are of one model: put others in a later grid")


def _complete(row: Row) -> dict:
    return {**settings_defaults(row.model), **row.settings}


def _row(chosen: dict, shared: dict, overrides: dict, content: dict) -> Row:
    given = {**NEEDED, **shared, **chosen}
    model = find_model(str(given.pop("model", "UniSRec"))).name
    settings = {**for_model(given, model), **for_model(overrides, model)}
    factor = content.get(INNER)
    if factor is not None:
        settings["inner_size"] = int(factor * settings.get("hidden_size", settings_defaults(model)["hidden_size"]))
    return Row(name_of(model, settings, chosen), model, settings, _seeds(content), frozenset(settings), False)


def _check_needed(cells: list[GridCell]):
    """Refuse runs whose records could not be used, before hours are spent on them."""
    lacking = [(cell, key) for cell in cells for key in NEEDED if cell.row.settings.get(key) is False]
    if lacking:
        cell, key = lacking[0]
        raise ConfigError(f"{cell.row.name}: {key} must be true in a scaling study, which reads it; leave it out")


def _seeds(content: dict) -> tuple[int, ...]:
    given = content.get("seeds", 2020)
    seeds = tuple(given) if isinstance(given, list | tuple) else (given,)
    if any(not isinstance(seed, int) or isinstance(seed, bool) for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be different whole numbers, not {given!r}")
    return seeds


def _held_back(cells: list[GridCell], choices, main: str) -> list[GridCell]:
    if not choices:
        return cells
    held = chosen_cells([cell for cell in cells if main in cell.groups], choices, PREDICT)
    return [replace(cell, is_held_back=cell in held) for cell in cells]
