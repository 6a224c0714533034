"""What fine-tuning gains over training from scratch in the same size, for each pre-trained run."""

from collections.abc import Sequence

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.rank_gains import split_metric
from recbole_mpo.quick_start.planned_run import APART, WITHOUT_EFFECT
from recbole_mpo.study.reference import UserRanks
from recbole_mpo.study.scaling.cells import GridCell
from recbole_mpo.study.scaling.outcomes import DATA, SIZE, Outcome
from recbole_mpo.study.scaling.transfer_cells import SCRATCH, scratch_name


def transfer_gains(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> list[dict]:
    """Return a row for each fine-tuned run whose counterpart from scratch is done.

    Args:
        outcomes: the runs that are done.
        metrics: names of metrics; of those that follow from ranks, an interval over users is given where the ranks are
            beside the records.

    Returns:
        Rows with ``run``, ``seed``, ``way``, ``width``, ``otherwise`` (the settings that the run from scratch has not),
        ``N`` and ``D`` (of the pre-trained run; None if its record is missing), and for each metric its value,
        ``<metric> scratch``, ``<metric> difference``, ``low`` and ``high``.
    """
    plain = {(one.cell.row.name, one.cell.dataset, one.cell.seed): one for one in outcomes if one.cell.way == SCRATCH}
    sources = {one.cell.title: one for one in outcomes}
    rows = []
    for one in outcomes:
        if one.cell.source is None:
            continue
        scratch = plain.get((scratch_name(one.cell.source), one.cell.dataset, one.cell.seed))
        if scratch is None:
            continue
        source = sources.get(one.cell.source.title)
        sizes = source.predictors if source else {}
        row = {"run": one.cell.row.name, "seed": one.cell.seed, "way": one.cell.way}
        row |= {"width": one.cell.value("hidden_size"), "otherwise": _otherwise(one.cell, scratch.cell)}
        row |= {SIZE: sizes.get(SIZE), DATA: sizes.get(DATA)}
        for metric in metrics:
            row |= _gain(one, scratch, metric)
        rows.append(row)
    return rows


def _otherwise(cell: GridCell, scratch: GridCell) -> str:
    """Return the settings of a run that the one from scratch does not have; it differs by more than its start then."""
    other, ignored = scratch.complete, WITHOUT_EFFECT | APART
    differing = {key: value for key, value in cell.complete.items() if key not in ignored and value != other.get(key)}
    # Defaults of another model go with its name.
    named = [key for key in differing if key == "model" or key in cell.row.settings or key in other]
    return ", ".join(f"{key} {differing[key]}" for key in named)


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
