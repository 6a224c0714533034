"""One run of a scaling study: its size in words, and what it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import settings_of
from recbole_mpo.study.matrix import Cell, Row, naming

# Settings that a name says in its own words.
NAMED = ("train_users", "hidden_size", "n_layers")
# What laws are fitted to, and predictions are of, unless a plan says otherwise.
METRICS = ("loss", "ndcg@10")
TRANSFER = "transfer"
# Settings of every run, without which its record does not hold what laws are fitted to.
NEEDED = {"eval_loss": True, "count_flops": True}


@dataclass(frozen=True)
class GridCell:
    """One run of the study.

    Attributes:
        row: its name, model and settings, without the weights that it starts from.
        dataset: name of its dataset.
        seed: its seed.
        groups: the grids that it belongs to; ``transfer`` for a run on the other dataset.
        source: the run whose weights it starts from; None if it starts from none.
        way: how it is adapted, for a run on the other dataset.
        is_held_back: whether it is predicted from the others before it is run.
    """

    row: Row
    dataset: str
    seed: int
    groups: tuple[str, ...]
    source: "GridCell | None" = None
    way: str = ""
    is_held_back: bool = False

    @property
    def title(self) -> str:
        """Return the name of the run for people."""
        return f"{self.row.name}, {self.dataset}, seed {self.seed}"

    def is_released(self, predicted: set[str]) -> bool:
        """Return whether the run may be begun: it and what it starts from are not held back, or are predicted.

        Args:
            predicted: titles of the runs that are predicted.
        """
        is_free = not self.is_held_back or self.title in predicted
        return is_free and (self.source is None or self.source.is_released(predicted))

    @property
    def weight(self) -> float:
        """Return about how costly the run is, beside others of its dataset."""
        return float(self.value("train_users") or 1) * self.value("hidden_size") * (1 + 0.1 * self.value("n_layers"))

    def value(self, key: str):
        """Return the value of a setting, its default if nothing is given; None for one that the model does not have."""
        return self.row.settings.get(key, settings_defaults(self.row.model).get(key))

    @property
    def complete(self) -> dict:
        """Return the model and all its settings, defaults included, but for the weights that it starts from."""
        return {"model": self.row.model, **settings_defaults(self.row.model), **self.row.settings}

    def planned(self, weights: Path | None = None) -> Cell:
        """Return the run with its settings checked.

        Args:
            weights: the file that it starts from.

        Raises:
            RecboleMPOError: it cannot be planned; the message names it.
        """
        settings = {**self.row.settings, **({"pretrained": str(weights)} if weights else {})}
        with naming(self.row.name):
            return Cell.of(replace(self.row, settings=settings), self.dataset, self.seed)


def settings_defaults(model: str) -> dict:
    """Return the defaults of the settings that a model uses."""
    return {name: setting.default for name, setting in settings_of(model).items()}


def name_of(model: str, settings: dict, chosen: dict) -> str:
    """Return the name of a run, which says its share of the users, its width, its depth, and what else was chosen.

    Args:
        model: name of the model.
        settings: its settings.
        chosen: the settings that its grid chose.
    """
    own = {**settings_defaults(model), **settings}
    share = f"{100 * float(own.get('train_users') or 1):g} % of users"
    others = [f"{key} {value}" for key, value in chosen.items() if key not in (*NAMED, "model", "inner_size")]
    return ", ".join([model, share, f"{own['hidden_size']} wide", f"{own['n_layers']} deep", *others])


def matches(cell: GridCell, wanted: dict) -> bool:
    """Return whether a run has the settings of a choice such as ``{train_users: 0.5}``."""
    return all(
        (cell.row.model if key == "model" else cell.value(key))
        in (value if isinstance(value, list | tuple) else [value])
        for key, value in wanted.items()
    )


def chosen_cells(cells: Sequence[GridCell], choices, key: str) -> list[GridCell]:
    """Return the runs that one of the choices describes.

    Raises:
        ConfigError: a choice does not map settings to values, or describes no run.
    """
    found: list[GridCell] = []
    for wanted in choices if isinstance(choices, list | tuple) else [choices]:
        here = [cell for cell in cells if isinstance(wanted, dict) and matches(cell, wanted)]
        if not here:
            raise ConfigError(f"{key}: no run of the main grid has {wanted!r}")
        found += [cell for cell in here if cell not in found]
    return found
