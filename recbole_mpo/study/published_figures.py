"""Figures that papers and repositories publish, for the dataset and the protocol of a run (``published.yaml``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from recbole_mpo.common.properties import find_property
from recbole_mpo.common.values import read_yaml
from recbole_mpo.study.protocol import eval_history


@dataclass(frozen=True)
class Published:
    """Test figures that somebody published.

    Attributes:
        method: the method's name there.
        inputs: what it knows of items; None for the paper whose models this package holds.
        figures: ``{metric: value}``, without those that were not published.
        source: paper or repository.
        differs: what differs from runs of this package, in a few words each.
    """

    method: str
    inputs: str | None
    figures: dict[str, float]
    source: str
    differs: tuple[str, ...]


def published_of(record: dict) -> Published | None:
    """Return the paper's figures for a run's model and dataset; None without them, such as for evidence or adapters."""
    table = _table()
    name = table["stands_for"].get(record["model"], record["model"])
    values = table["datasets"].get(record["dataset"], {}).get(name)
    if values is None or not _is_papers(record):
        return None
    figures = dict(zip(table["metrics"], values, strict=True))
    return Published(name, None, figures, table["source"], tuple(table["differs"]))


def _is_papers(record: dict) -> bool:
    """Return whether a run is one of the paper's: the whole model, of text, of all users, without additions."""
    config = record["config"]
    is_whole = (
        record["item_input"] != "text+id"
        and not any(config.get(key) for key in ("evidence", "freeze"))
        and config.get("adapter") in (None, "none")
    )
    is_trained = record.get("epochs_run") != 0 and config.get("train_users") in (None, 1) and ranks_all_users(record)
    return is_whole and is_trained and config.get("mpo_strategy") != "progressive" and eval_history(record) == "kept"


def ranks_all_users(record: dict) -> bool:
    """Return whether a run is evaluated on all users, as all published figures are."""
    return record["config"].get("eval_users") in (None, 1)


def published_by_others(dataset: str, history: str) -> list[Published]:
    """Return all other figures for a dataset.

    Args:
        dataset: its name.
        history: ``kept`` or ``masked``; figures of the two ways are not compared.
    """
    table = _table()
    sources = [source for source in table["others"] if source["eval_history"] == history]
    return [
        Published(
            method,
            entry["inputs"],
            _without_blanks(table["metrics"], entry["figures"]),
            source["source"],
            tuple(source["differs"]),
        )
        for source in sources
        for method, entry in source["datasets"].get(dataset, {}).items()
    ]


def _without_blanks(metrics: Sequence[str], figures: Sequence[float | None]) -> dict[str, float]:
    return {metric: value for metric, value in zip(metrics, figures, strict=True) if value is not None}


@cache
def _table() -> dict:
    return read_yaml(find_property("published"))
