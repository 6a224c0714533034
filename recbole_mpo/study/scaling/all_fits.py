"""The laws of all metrics of a study, as ``fit.json`` holds them."""

from collections.abc import Sequence

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.scaling.metric_fits import metric_fits
from recbole_mpo.study.scaling.outcomes import Outcome, points_of
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.prediction import records_hash

# Fewer points tell nothing of a line in two directions.
LEAST_RUNS = 4
# Settings of size and data.
SIZES = ("train_users", "hidden_size", "inner_size", "n_layers")


def fit_all(plan: Plan, outcomes: Sequence[Outcome]) -> dict:
    """Return the laws of each metric of a plan, fitted to the runs of its main grid that are done.

    Args:
        plan: the plan.
        outcomes: its runs that are done.

    Raises:
        RecordError: there are too few, or a record does not hold what is needed.
    """
    main = main_outcomes(plan, outcomes)
    if len(main) < LEAST_RUNS:
        raise RecordError(f"laws need at least {LEAST_RUNS} runs of {plan.main}; {len(main)} are done")
    sized = sized_outcomes(plan, outcomes)
    metrics = {name: metric_fits(name, points_of(main, name), points_of(sized, name)) for name in plan.metrics}
    return {"records_hash": records_hash(outcomes), "runs": [one.cell.title for one in main], "metrics": metrics}


def main_outcomes(plan: Plan, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the runs of the main grid."""
    return [one for one in outcomes if plan.main in one.cell.groups]


def sized_outcomes(plan: Plan, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the runs of all widths and depths that are otherwise like runs of the main grid."""
    wanted = [_apart_from_size(one) for one in main_outcomes(plan, outcomes)]
    return [one for one in outcomes if not one.cell.way and _apart_from_size(one) in wanted]


def _apart_from_size(one: Outcome) -> dict:
    return {key: value for key, value in one.cell.complete.items() if key not in SIZES}
