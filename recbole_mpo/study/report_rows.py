"""One row per group of runs, with unrounded numbers: what every form of a report is made from."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recbole_mpo.common.values import as_list
from recbole_mpo.study.published_figures import published_of
from recbole_mpo.study.run_groups import RunGroup, mean_and_sd
from recbole_mpo.study.statistics import GroupDifference, compare_groups

# Below this adjusted p-value a difference is marked: filled in a figure, with a star in the LaTeX table.
LEVEL = 0.05
# No cost is larger; a damaged record may hold what a plot cannot show.
_LARGEST = 1e18


@dataclass(frozen=True)
class Score:
    """A group's figures in one metric.

    Attributes:
        mean, sd: over the completed runs' test metrics; None where there is none.
        valid_mean, valid_sd: the same of the valid metrics.
        difference: from the reference; None for the reference itself and without completed runs.
        published: what the MPORec paper gives for this model and dataset, if it does.
    """

    mean: float | None
    sd: float | None
    valid_mean: float | None
    valid_sd: float | None
    difference: GroupDifference | None
    published: float | None


@dataclass(frozen=True)
class Unfinished:
    """A run without test metrics.

    Attributes:
        seed: its seed.
        status: ``failed``, ``running``, …
        reason: what its record says of it; "" where it says nothing.
    """

    seed: int | None
    status: str
    reason: str


@dataclass(frozen=True)
class GroupRow:
    """A group of runs in a report; costs are means over its completed runs, None where the records have none.

    Attributes:
        name: what tables show.
        inputs: what its model knows of items and users, in words.
        seeds: seeds of the completed runs.
        unfinished: the other runs.
        scores: by metric.
        beside: what is recommended on test, right or wrong, such as coverage, by name.
        total, trainable: number of parameters.
        seconds_per_epoch, seconds_to_best, seconds: of training, until the best epoch, and of a whole run.
        peak_mb: largest memory of a run, in MB.
        checkpoint_mb: size of the file of the best weights, which has the optimizer's state too, in MB.
        best_epochs: of each completed run, from 0; None for a model without epochs.
        epoch_limits: number of epochs of each completed run that the limit of epochs ended, else None.
    """

    name: str
    inputs: str
    seeds: tuple[int | None, ...]
    unfinished: tuple[Unfinished, ...]
    scores: dict[str, Score]
    beside: dict[str, float]
    total: float | None
    trainable: float | None
    seconds_per_epoch: float | None
    seconds_to_best: float | None
    seconds: float | None
    peak_mb: float | None
    checkpoint_mb: float | None
    best_epochs: tuple[int | None, ...]
    epoch_limits: tuple[int | None, ...]

    @property
    def label(self) -> str:
        """Return the name, with how many of the runs are not completed."""
        if not self.unfinished:
            return self.name if self.seeds else f"{self.name} [not run]"
        statuses = ", ".join(dict.fromkeys(run.status for run in self.unfinished))
        runs = len(self.unfinished) + len(self.seeds)
        return (
            f"{self.name} [{statuses}]" if runs == 1 else f"{self.name} [{len(self.unfinished)} of {runs} {statuses}]"
        )


@dataclass(frozen=True)
class Results:
    """All numbers of a report's tables.

    Attributes:
        groups: the groups of runs.
        rows: one row per group.
        reference: position of the reference group.
        metrics: names of the test metrics.
        main: the metric that choices were made by, if it is one of them; the first one otherwise.
    """

    groups: tuple[RunGroup, ...]
    rows: tuple[GroupRow, ...]
    reference: int
    metrics: tuple[str, ...]
    main: str

    @classmethod
    def of(cls, groups: Sequence[RunGroup], reference: int, metrics: Sequence[str], wilcoxon: bool) -> "Results":
        """Return the numbers of groups whose runs may stand in one report.

        Raises:
            RecordError: ranks are missing, damaged or of other users; or a metric does not follow from ranks.
        """
        metrics = tuple(dict.fromkeys(metric.lower() for metric in metrics))
        reference = range(len(groups))[reference]
        differences = compare_groups(groups, reference, metrics, wilcoxon)
        rows = tuple(group_row(group, metrics, found) for group, found in zip(groups, differences, strict=True))
        records = [record for group in (groups[reference], *groups) for record, _ in group.runs]
        chosen_by = str(records[0]["config"].get("valid_metric")).lower()
        return cls(tuple(groups), rows, reference, metrics, chosen_by if chosen_by in metrics else metrics[0])

    @property
    def reference_name(self) -> str:
        """Return the name of the reference."""
        return self.rows[self.reference].name


def group_row(group: RunGroup, metrics: Sequence[str], differences: dict[str, GroupDifference]) -> GroupRow:
    """Return the row of one group."""
    records = [record for record, _ in group.completed]
    examples = records or [record for record, _ in group.runs]
    return GroupRow(
        name=group.name,
        inputs=inputs_of(examples[0]) if examples else "",
        seeds=tuple(record["seed"] for record in records),
        unfinished=_unfinished(group),
        scores={metric: _score(group, metric, differences.get(metric)) for metric in metrics},
        beside=_beside(group),
        total=_mean(records, lambda record: record["params"].get("total")),
        trainable=_mean(records, lambda record: record["params"].get("trainable")),
        seconds_per_epoch=_mean(records, lambda record: record["seconds"].get("per_epoch")),
        seconds_to_best=_mean(records, _seconds_to_best),
        seconds=_mean(records, lambda record: record["seconds"].get("total")),
        peak_mb=_mean(records, lambda record: record.get("peak_memory_mb")),
        checkpoint_mb=_mean(records, lambda record: record.get("checkpoint_mb")),
        best_epochs=tuple(record.get("best_epoch") if record.get("epochs_run") else None for record in records),
        epoch_limits=tuple(_limit(record) for record in records),
    )


def inputs_of(record: dict) -> str:
    """Return what a run's model knows, in words: ``text``, ``text + evidence (words), pre-trained``, …"""
    if record["item_input"] == "none":
        return f"{', '.join(record.get('reads') or ['nothing'])}; no training"
    evidence = as_list(record["config"].get("evidence"))
    known = record["item_input"] + (f" + evidence ({', '.join(map(str, evidence))})" if evidence else "")
    return f"{known}, pre-trained" if record["config"].get("pretrained") else known


def _unfinished(group: RunGroup) -> tuple[Unfinished, ...]:
    done = group.completed
    rest = [record for record, path in group.runs if (record, path) not in done]
    return tuple(Unfinished(one["seed"], one["status"], str(one.get("error") or "")) for one in rest)


def _score(group: RunGroup, metric: str, difference: GroupDifference | None) -> Score:
    published = published_of(group.completed[0][0]) if group.completed else None
    figure = published.figures.get(metric) if published else None
    return Score(*mean_and_sd(group, metric), *mean_and_sd(group, metric, "valid"), difference, figure)


def _beside(group: RunGroup) -> dict[str, float]:
    """Return the means of what every run's record says of its recommendations on test, right or wrong."""
    measured = [record.get("recommended") or {} for record, _ in group.completed]
    names = dict.fromkeys(name for one in measured for name in one)
    means = {name: _mean(measured, lambda one, name=name: one.get(name)) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def _mean(records: list[dict], value_of: Callable[[dict], float | None]) -> float | None:
    values = [value_of(record) for record in records]
    numbers = [value for value in values if isinstance(value, int | float) and abs(value) < _LARGEST]
    if not numbers or len(numbers) < len(values):
        return None
    mean = statistics.fmean(numbers)
    return int(mean) if mean.is_integer() else mean


def _seconds_to_best(record: dict) -> float | None:
    """Return the seconds of training and validation until the end of the best epoch; None without epochs."""
    epochs, best = record.get("history"), record.get("best_epoch")
    is_sound = isinstance(epochs, list) and all(isinstance(epoch, dict) for epoch in epochs)
    # Records of older versions do not say how long an epoch took.
    if not is_sound or not epochs or best is None or not all({"epoch", "train_seconds"} <= {*one} for one in epochs):
        return None
    until = [epoch for epoch in epochs if epoch["epoch"] <= best]
    return sum(epoch["train_seconds"] + epoch.get("valid_seconds", 0.0) for epoch in until)


def _limit(record: dict) -> int | None:
    return record.get("epochs_run") or None if record.get("hit_epoch_limit") else None
