"""Runs against a reference run, user by user, from the ranks beside their records."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.paired import PairedDifference, paired_difference
from recbole_mpo.common.rank_gains import rank_gains, split_metric
from recbole_mpo.quick_start.record import read_ranks, record_file

# How far a record's metric may be from the mean over its ranks: rounding of the last digits alone.
ROUNDING = 1e-9


@dataclass(frozen=True)
class UserRanks:
    """The rank of each user's test target, in the order of the users' ids.

    Attributes:
        path: file of the ranks, for messages.
        columns: the file's columns of the test split, each [R]: ``user``, ``rank``, and others such as
            ``history_length``.
    """

    path: Path
    columns: dict[str, np.ndarray]

    @property
    def users(self) -> np.ndarray:
        """Return the ids of the users [R]."""
        return self.columns["user"]

    @property
    def ranks(self) -> np.ndarray:
        """Return the rank of each user's target [R]."""
        return self.columns["rank"]

    @classmethod
    def beside(cls, record: dict, path: str | Path) -> "UserRanks":
        """Return the ranks beside a record, after checking that they give the record's test metrics.

        Args:
            record: content of the record.
            path: the record's file or the run's folder.

        Raises:
            RecordError: the ranks are missing or damaged, give other metrics, or hold several targets of a user.
        """
        ranks_path = record_file(path).parent / "ranks.npz"
        columns = read_ranks(ranks_path, "test")
        order = np.argsort(columns["user"], kind="stable")
        result = cls(ranks_path, columns).part(order)
        users = result.users
        repeated = users[1:][users[1:] == users[:-1]]
        if len(repeated):
            raise RecordError(
                f"ranks {ranks_path}: user {repeated[0]} has several test targets; groups and paired differences need "
                "one per user"
            )
        result._check_metrics(record)
        return result

    def part(self, chosen_R: np.ndarray) -> "UserRanks":
        """Return the ranks of some users, given by a mask or by their places."""
        return UserRanks(self.path, {name: column[chosen_R] for name, column in self.columns.items()})

    def gains(self, metric: str) -> np.ndarray:
        """Return the gain of each user [R], of which the metric is the mean.

        Raises:
            RecordError: the metric does not follow from ranks.
        """
        parts = split_metric(metric)
        if parts is None:
            raise RecordError(
                f"the metric {metric} does not follow from ranks, as groups and paired differences need it"
            )
        return rank_gains(self.ranks, *parts)

    def difference(self, reference: "UserRanks", metric: str) -> PairedDifference:
        """Return how much better a metric is than that of a reference with the same users.

        Raises:
            RecordError: the users differ, are fewer than two, or the metric does not follow from ranks.
        """
        self.check_same_users(reference)
        try:
            return paired_difference(self.gains(metric), reference.gains(metric))
        except ValueError as problem:
            raise RecordError(f"{self.path}: {problem}") from problem

    def check_same_users(self, reference: "UserRanks"):
        """Check that a reference has the same users.

        Raises:
            RecordError: the users differ.
        """
        if not np.array_equal(self.users, reference.users):
            mine, others = (len(np.setdiff1d(*pair)) for pair in _both_ways(self.users, reference.users))
            raise RecordError(
                f"the users of {self.path} and {reference.path} differ ({mine} only in the first, {others} only in the "
                "second), so that their ranks cannot be paired"
            )

    def _check_metrics(self, record: dict):
        names = [name for name in record["test"] if split_metric(name)]
        if not names or not len(self.ranks):
            raise RecordError(f"the record beside {self.path} has no test metrics with which its ranks can be compared")
        for name in names:
            mean = float(self.gains(name).mean())
            if not abs(mean - record["test"][name]) <= ROUNDING:
                raise RecordError(
                    f"ranks {self.path} give a test {name} of {mean!r}, but the record beside them has "
                    f"{record['test'][name]!r}: they are not of the same run, or one of them was changed"
                )


def _both_ways(first, second):
    return (first, second), (second, first)


def difference_columns(runs: list[tuple[dict, str | Path]], reference: int, metrics: list[str]) -> list[dict]:
    """Return, for each run, its differences from a reference run by metric; ``{}`` for the reference itself.

    Runs without test metrics, such as failed ones, get ``{}`` too.

    Args:
        runs: records, each with its file or its run's folder.
        reference: position of the reference run.
        metrics: names of test metrics such as ``ndcg@10``.

    Returns:
        ``{metric: PairedDifference}`` per run.

    Raises:
        RecordError: ranks are missing, damaged or of other users, or do not give their record's metrics; or a metric
            does not follow from ranks.
    """
    fixed = UserRanks.beside(*runs[reference])
    results = []
    for position, (record, path) in enumerate(runs):
        if position == reference or not record["test"]:
            results.append({})
            continue
        ranks = UserRanks.beside(record, path)
        results.append({metric: ranks.difference(fixed, metric) for metric in metrics})
    return results
