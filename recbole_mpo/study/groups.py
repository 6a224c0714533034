"""Metrics of groups of test users: by the length of the history, or by how often the target occurs in training.

A mean over all users does not say who gains. Few items in the history and few occurrences of the target are the two
sides of a cold start, which text and pre-training are to ease.

Shapes: R users.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.paired import PairedDifference
from recbole_mpo.common.values import check_choice
from recbole_mpo.study.reference import UserRanks

# Users of a group with a test.
LEAST_TESTED = 30


@dataclass(frozen=True)
class Grouping:
    """How a column of the ranks puts users into groups.

    Attributes:
        heading: name of the groups' column in tables.
        column: name of the column in ``ranks.npz``, without the split.
        begins: least value of each group in ascending order; a group ends before the next one begins.
    """

    heading: str
    column: str
    begins: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """Return the name of each group, in words, since a spreadsheet takes 5-6 for a date."""
        bounds = zip(self.begins, self.begins[1:], strict=False)
        names = [f"{begin} to {end - 1}" if end - begin > 1 else str(begin) for begin, end in bounds]
        return [*names, f"{self.begins[-1]} and more"]

    def places(self, ranks: UserRanks) -> np.ndarray:
        """Return the group of each user [R], from 0.

        Raises:
            RecordError: a value is below the first group.
        """
        values_R = column_of(ranks, self.column)
        if (values_R < self.begins[0]).any():
            raise RecordError(f"ranks {ranks.path}: test_{self.column} holds a value below {self.begins[0]}")
        return np.searchsorted(self.begins, values_R, side="right") - 1


GROUPINGS = {
    # The 5-core sets of the MPORec paper leave at least 4 items before the target, and rarely 10: of the 8,442 users of
    # Scientific these groups hold 3,308, 2,978, 1,338, 735 and 83, where one group from 5 to 9 would hold half.
    "history_length": Grouping("history length", "history_length", (0, 1, 5, 7, 10, 20)),
    # 0 is a target unseen in training; of Scientific 37, 1,964, 2,151, 3,156 and 1,134 users.
    "popularity": Grouping("training popularity", "popularity", (0, 1, 5, 10, 50)),
}


@dataclass(frozen=True)
class Group:
    """What each run reaches in one group of users.

    Attributes:
        name: the group's range of values.
        users: number of users.
        means: ``{metric: mean over the group's users}`` per run; ``{}`` for a run without test metrics.
        differences: ``{metric: PairedDifference}`` from the reference per run; ``{}`` for the reference itself, for a
            run without test metrics, and where the group is too small for a test.
    """

    name: str
    users: int
    means: list[dict[str, float]]
    differences: list[dict[str, PairedDifference]]


def group_users(
    runs: list[tuple[dict, str | Path]], by: str, metrics: list[str], reference: int | None = None
) -> list[Group]:
    """Return the groups of test users with the metrics of each run, from the ranks beside the records.

    All runs must put the same users into each group. Groups without users are left out, and groups of fewer than
    ``LEAST_TESTED`` users have no differences: the mean of so few gains, most of them zero, is far from normal, as the
    t-test needs it, and resamples of them spread too little, so that the interval would be too narrow. Each p-value is
    of one test alone: of twenty without any effect, one is below 0.05 by chance.

    Args:
        runs: records, each with its file or its run's folder.
        by: ``history_length``, or ``popularity`` of the target in the training histories.
        metrics: names of test metrics such as ``ndcg@10``.
        reference: position of the run from which to compute differences, if any.

    Raises:
        ConfigError: ``by`` is unknown.
        RecordError: no run has test metrics; ranks are missing, damaged, of other users or in other groups, or do not
            give their record's metrics; or a metric does not follow from ranks.
    """
    check_choice("by", by, GROUPINGS)
    grouping = GROUPINGS[by]
    ranks = [
        UserRanks.beside(record, path) if record["test"] or position == reference else None
        for position, (record, path) in enumerate(runs)
    ]
    present = [one for one in ranks if one is not None]
    if not present:
        raise RecordError("no record has test metrics, so there are no users to put into groups")
    for other in present[1:]:
        _check_same_groups(other, present[0], grouping.column)
    places_R = grouping.places(present[0])
    masks = [(name, places_R == place) for place, name in enumerate(grouping.names)]
    return [_group(name, mask_R, ranks, metrics, reference) for name, mask_R in masks if mask_R.any()]


def column_of(ranks: UserRanks, name: str) -> np.ndarray:
    """Return a column of the ranks [R].

    Raises:
        RecordError: the file lacks it.
    """
    if name not in ranks.columns:
        raise RecordError(f"ranks {ranks.path} lack test_{name}, so that there are no groups by it")
    return ranks.columns[name]


def _check_same_groups(ranks: UserRanks, first: UserRanks, column: str):
    ranks.check_same_users(first)
    differing = np.flatnonzero(column_of(ranks, column) != column_of(first, column))
    if len(differing):
        user = differing[0]
        raise RecordError(
            f"test_{column} of {ranks.path} and {first.path} differs for {len(differing)} of {len(ranks.users)} users "
            f"(user {ranks.users[user]}: {ranks.columns[column][user]} and {first.columns[column][user]}), so that "
            "their groups are not of the same users. Leave one of them out"
        )


def _group(name: str, mask_R: np.ndarray, ranks: list, metrics: list[str], reference: int | None) -> Group:
    users = int(mask_R.sum())
    parts = [None if one is None else one.part(mask_R) for one in ranks]
    fixed = parts[reference] if reference is not None and users >= LEAST_TESTED else None
    means, differences = [], []
    for part in parts:
        shown = [] if part is None else metrics
        tested = [] if fixed is None or part is fixed else shown
        means.append({metric: float(part.gains(metric).mean()) for metric in shown})
        differences.append({metric: part.difference(fixed, metric) for metric in tested})
    return Group(name, users, means, differences)
