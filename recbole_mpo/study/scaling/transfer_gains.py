"""What fine-tuning gains over training from scratch in the same size, for each pre-trained run."""

from collections.abc import Sequence

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.rank_gains import split_metric
from recbole_mpo.study.reference import UserRanks
from recbole_mpo.study.scaling.outcomes import DATA, SIZE, Outcome
from recbole_mpo.study.scaling.transfer_cells import SCRATCH


def transfer_gains(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> list[dict]:
    """Return a row for each fine-tuned run whose counterpart from scratch is done.

    Args:
        outcomes: the runs that are done.
        metrics: names of metrics; of those that follow from ranks, an interval over users is given where the ranks are
            beside the records.

    Returns:
        Rows with ``run``, ``way``, ``width``, ``N`` and ``D`` (of the pre-trained run; None if its record is missing),
        and for each metric its value, ``<metric> scratch``, ``<metric> difference``, ``low`` and ``high``.
    """
    plain = {_size(one): one for one in outcomes if one.cell.way == SCRATCH}
    sources = {one.cell.title: one for one in outcomes}
    rows = []
    for one in outcomes:
        scratch = plain.get(_size(one))
        if one.cell.source is None or scratch is None:
            continue
        source = sources.get(one.cell.source.title)
        sizes = source.predictors if source else {}
        row = {"run": one.cell.row.name, "way": one.cell.way, "width": one.cell.value("hidden_size")}
        row |= {SIZE: sizes.get(SIZE), DATA: sizes.get(DATA)}
        for metric in metrics:
            row |= _gain(one, scratch, metric)
        rows.append(row)
    return rows


def _size(one: Outcome) -> tuple:
    return one.cell.dataset, one.cell.seed, one.cell.value("hidden_size"), one.cell.value("n_layers")


def _gain(one: Outcome, scratch: Outcome, metric: str) -> dict:
    value, other = one.value(metric), scratch.value(metric)
    row = {metric: value, f"{metric} scratch": other, f"{metric} difference": value - other}
    try:
        ranks = [UserRanks.beside(each.record, each.path) for each in (one, scratch)] if split_metric(metric) else []
    # Records may have been copied without their ranks.
    except RecordError:
        ranks = []
    difference = ranks[0].difference(ranks[1], metric) if ranks else None
    return row | {
        f"{metric} low": difference.low if difference else None,
        f"{metric} high": difference.high if difference else None,
    }
