"""Runs of one model that differ in their seed alone: the unit that a comparison of models compares."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from recbole_mpo.common.errors import RecordError


@dataclass(frozen=True)
class RunGroup:
    """Runs of one model and one set of settings, which differ in their seed alone.

    Attributes:
        name: what tables show.
        runs: records, each with its file, failed ones included; kept in the order of their seeds.

    Raises:
        RecordError: two completed runs have the same seed: the same run twice would pass for agreement of two.
    """

    name: str
    runs: tuple[tuple[dict, Path], ...]

    def __post_init__(self):
        # A frozen class has no other way to set its own field. A run without a seed comes first.
        object.__setattr__(self, "runs", tuple(sorted(self.runs, key=_seed_order)))
        for (record, path), (next_record, next_path) in zip(self.completed, self.completed[1:], strict=False):
            if record["seed"] == next_record["seed"]:
                raise RecordError(
                    f"two completed runs of {self.name} have the seed {record['seed']}: {path} and {next_path}. "
                    "Leave one of them out"
                )

    @property
    def completed(self) -> tuple[tuple[dict, Path], ...]:
        """Return the runs that are completed and have test metrics."""
        return tuple((record, path) for record, path in self.runs if record["status"] == "completed" and record["test"])


def _seed_order(run: tuple[dict, Path]) -> tuple[bool, int]:
    seed = run[0]["seed"]
    return seed is not None, 0 if seed is None else seed


def mean_and_sd(group: RunGroup, metric: str, split: str = "test") -> tuple[float | None, float | None]:
    """Return the mean of a metric over a group's completed runs, and the standard deviation over their seeds (n - 1).

    Args:
        group: the runs.
        metric: name such as ``ndcg@10``.
        split: ``valid`` or ``test``.

    Returns:
        The mean, which is None without completed runs or where one of them lacks the metric (the mean of the others
        would pass for that of all), and the standard deviation, which is None for fewer than two runs, too.
    """
    values = [record[split].get(metric.lower()) for record, _ in group.completed]
    if not values or None in values:
        return None, None
    # Exact, so that equal runs have their own value as mean.
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None
