"""Groups of runs against a reference group: differences over users and seeds, with their tests.

Shapes: R users, S runs of a group, T runs of the reference, C cells of the table (groups x metrics).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.paired import bootstrap_intervals, t_test
from recbole_mpo.common.paired_tests import effect_sizes, holm, sign_flip_test, wilcoxon_test, wins_ties_losses
from recbole_mpo.common.seed_variance import seeds_interval
from recbole_mpo.study.reference import UserRanks
from recbole_mpo.study.run_groups import RunGroup

# Means of the same gains in another order differ by less, which must not make a tie a win.
ROUNDING = 1e-12


@dataclass(frozen=True)
class GroupDifference:
    """How much better a group of runs is than the reference in one metric, each user's gain averaged over seeds.

    ``low`` to ``high`` and the p-values take the trained models as they are: where seeds matter they find differences
    that other seeds would not show. What is said of models and not of these runs needs ``seeds_low`` to ``seeds_high``
    to leave out zero.

    Attributes:
        mean: mean difference over users.
        low, high: its 95 % percentile bootstrap interval over users.
        seeds_low, seeds_high: its 95 % interval over users and seeds (``seeds_interval``); None with one run on a side.
        p_value: of the two-sided paired t-test over users.
        p_randomisation: of the two-sided test by random signs, which checks the t-test.
        p_holm: ``p_value`` adjusted for all cells of the table.
        effect_size: Cohen's d_z; infinite where every user differs by the same amount.
        wins, ties, losses: number of users for whom the group is better, as good and worse.
        users: number of users.
        p_wilcoxon: of Wilcoxon's signed-rank test; None unless asked for.
    """

    mean: float
    low: float
    high: float
    seeds_low: float | None
    seeds_high: float | None
    p_value: float
    p_randomisation: float
    p_holm: float
    effect_size: float
    wins: int
    ties: int
    losses: int
    users: int
    p_wilcoxon: float | None = None


def compare_groups(
    groups: Sequence[RunGroup], reference: int, metrics: Sequence[str], wilcoxon: bool = False
) -> list[dict[str, GroupDifference]]:
    """Return, for each group, its differences from the reference group by metric.

    Args:
        groups: the groups, with the ranks of each completed run beside its record.
        reference: position of the reference group.
        metrics: names of test metrics that follow from ranks, such as ``ndcg@10``.
        wilcoxon: whether to run Wilcoxon's test, too.

    Returns:
        ``{metric: GroupDifference}`` per group; ``{}`` for the reference itself and for groups without completed runs,
        and for all groups if the reference has none.

    Raises:
        RecordError: ranks are missing, damaged, of other users or of fewer than two, or do not give their record's
            metrics; or a metric does not follow from ranks.
    """
    reference = range(len(groups))[reference]
    results = [{} for _ in groups]
    fixed = _ranks_of(groups[reference])
    cells, columns, ends = [], [], []
    for position, group in enumerate(groups):
        if position == reference or not fixed or not group.completed:
            continue
        ranks = _ranks_of(group, fixed[0])
        for metric in dict.fromkeys(metrics):
            values_SR, reference_TR = _gains(ranks, metric), _gains(fixed, metric)
            cells.append((position, metric))
            columns.append(_differences(values_SR, reference_TR))
            ends.append(seeds_interval(values_SR, reference_TR) or (None, None))
    if cells:
        for (position, metric), difference in zip(cells, _tested(np.stack(columns, 1), ends, wilcoxon), strict=True):
            results[position][metric] = difference
    return results


def _ranks_of(group: RunGroup, first: UserRanks | None = None) -> list[UserRanks]:
    """Return the ranks of each completed run, after checking that all are of the same users."""
    ranks = [UserRanks.beside(record, path) for record, path in group.completed]
    for one in ranks:
        one.check_same_users(first or ranks[0])
        if len(one.users) < 2:
            raise RecordError(f"{one.path}: a paired comparison needs at least two users")
    return ranks


def _gains(ranks: list[UserRanks], metric: str) -> np.ndarray:
    return np.stack([one.gains(metric) for one in ranks])


def _differences(values_SR: np.ndarray, reference_TR: np.ndarray) -> np.ndarray:
    differences_R = values_SR.mean(0) - reference_TR.mean(0)
    return np.where(np.abs(differences_R) < ROUNDING, 0.0, differences_R)


def _tested(differences_RC: np.ndarray, ends: list[tuple], wilcoxon: bool) -> list[GroupDifference]:
    p_values_C = t_test(differences_RC)
    found = {
        "mean": differences_RC.mean(0),
        **dict(zip(("low", "high"), bootstrap_intervals(differences_RC), strict=True)),
        "p_value": p_values_C,
        "p_randomisation": sign_flip_test(differences_RC),
        "p_holm": holm(p_values_C),
        "effect_size": effect_sizes(differences_RC),
        **dict(zip(("wins", "ties", "losses"), wins_ties_losses(differences_RC), strict=True)),
        **({"p_wilcoxon": wilcoxon_test(differences_RC)} if wilcoxon else {}),
    }
    return [
        GroupDifference(
            seeds_low=low,
            seeds_high=high,
            users=len(differences_RC),
            # As Python's own numbers, which JSON and YAML write.
            **{name: values_C[cell].item() for name, values_C in found.items()},
        )
        for cell, (low, high) in enumerate(ends)
    ]
