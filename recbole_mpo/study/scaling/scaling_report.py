"""The report of a scaling study: findings, prediction and outcome, laws, figures and all runs."""

from collections.abc import Sequence
from pathlib import Path

from recbole_mpo.study.forms import as_csv, unrounded
from recbole_mpo.study.protocol import check_same_evaluation
from recbole_mpo.study.report import write_parts
from recbole_mpo.study.report_parts import Part, Section
from recbole_mpo.study.scaling import scaling_figures as figures
from recbole_mpo.study.scaling.all_fits import main_outcomes, sized_outcomes
from recbole_mpo.study.scaling.cells import TRANSFER
from recbole_mpo.study.scaling.findings import findings
from recbole_mpo.study.scaling.outcomes import DATA, SIZE, Outcome
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.prediction_table import prediction_table
from recbole_mpo.study.scaling.scaling_tables import law_table, model_table, run_table, transfer_table
from recbole_mpo.study.scaling.transfer_gains import transfer_gains


def write_scaling_report(
    plan: Plan, outcomes: Sequence[Outcome], fits: dict, prediction: dict | None, output: Path
) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``report.csv`` and the figures of a study; return the files.

    Args:
        plan: the plan.
        outcomes: its runs that are done.
        fits: content of ``fit.json``, of these runs.
        prediction: content of ``prediction.json``; None without one.
        output: the folder.

    Raises:
        RecordError: the runs differ in their test users, or a record does not hold what is needed.
        DataError: ``report.html`` is there and is not a page of this package.
    """
    for dataset in dict.fromkeys(one.cell.dataset for one in outcomes):
        check_same_evaluation([(one.record, one.path) for one in outcomes if one.cell.dataset == dataset])
    parts = report_parts(plan, outcomes, fits, prediction)
    return write_parts(parts, output, plan.title, {"report.csv": _long_csv(plan, outcomes)})


def report_parts(plan: Plan, outcomes: Sequence[Outcome], fits: dict, prediction: dict | None) -> list[Part]:
    """Return the parts of the report in the order of reading; the arguments are those of the report."""
    main, sized = main_outcomes(plan, outcomes), sized_outcomes(plan, outcomes)
    done = {one.cell.title for one in outcomes}
    missing = [cell.title for cell in plan.cells if cell.title not in done]
    gains = transfer_gains(outcomes, plan.metrics)
    target = next((cell.dataset for cell in plan.cells if TRANSFER in cell.groups), "")
    parts: list[Part | None] = [
        Section("What it says, and what it cannot know", findings(main, fits, missing)),
        prediction_table(plan, prediction, outcomes),
        law_table(fits),
    ]
    for metric, found in fits["metrics"].items():
        parts += [
            figures.against(main, metric, DATA, SIZE, found),
            figures.against(main, metric, SIZE, DATA, found),
            figures.against_compute(main, metric, found),
            figures.width_and_depth(sized, metric),
            figures.residuals(main, metric, found),
            figures.profile_picture(metric, found),
        ]
    parts += [model_table(plan, outcomes), transfer_table(plan, gains)]
    parts += [figures.transfer_picture(gains, metric, target) for metric in plan.metrics]
    parts.append(run_table(plan, outcomes))
    return [part for part in parts if part is not None]


def _long_csv(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """Return one row per run, unrounded."""
    return as_csv(
        [
            unrounded(
                {
                    "run": one.cell.row.name,
                    "dataset": one.cell.dataset,
                    "seed": one.cell.seed,
                    "grids": ";".join(one.cell.groups),
                    **one.predictors,
                    "trainable": one.record["params"].get("trainable"),
                    "examples seen": (one.record.get("scale") or {}).get("examples_seen"),
                    "6 N tokens": (one.record.get("scale") or {}).get("flops_6nd"),
                    "best epoch": one.record.get("best_epoch"),
                    "epochs": one.record.get("epochs_run"),
                    "seconds": one.record["seconds"].get("total"),
                    "peak MB": one.record.get("peak_memory_mb"),
                    **{f"valid {name}": one.value(name, "valid") for name in plan.metrics},
                    **{f"test {name}": one.value(name) for name in plan.metrics},
                }
            )
            for one in outcomes
        ]
    )
