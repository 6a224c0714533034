"""The tables of a scaling report: runs, laws, transfer, MPO on and off."""

import json
from collections.abc import Sequence

from recbole_mpo.study.report_parts import Shown, Table, count, number
from recbole_mpo.study.scaling.metric_fits import LAWS
from recbole_mpo.study.scaling.outcomes import COMPUTE, DATA, SIZE, Outcome
from recbole_mpo.study.scaling.plan import Plan

FORMULAS = {
    "F1": "E ± A N^−a ± B D^−b",
    "F2": "E ± A C^−c, envelope",
    "F3": "logistic in ln C, envelope",
    "F4": "linear in ln N and ln D",
    "constant": "constant",
}
OTHERWISE = "other than from scratch"
UNSEEN = "rms at the largest D, unseen"
OF_ENVELOPE = ("F2", "F3")


def run_table(plan: Plan, outcomes: Sequence[Outcome]) -> Table:
    """Return the runs of all grids with their sizes and figures."""
    columns = (
        "run",
        "seed",
        "N",
        "D",
        "C",
        *(f"test {name}" for name in plan.metrics),
        "best epoch",
        "epochs",
        "limit",
    )
    rows = []
    for one in (one for one in outcomes if not one.cell.way):
        sizes, record = one.predictors, one.record
        figures = (number(one.value(name)) for name in plan.metrics)
        epochs = (count(record["best_epoch"]), count(record["epochs_run"]))
        at_limit = Shown("reached" if record.get("hit_epoch_limit") else "")
        shown = (Shown(one.cell.row.name), Shown(str(one.cell.seed), one.cell.seed))
        shown += (count(sizes[SIZE]), count(sizes[DATA]), number(sizes[COMPUTE], ".2e"))
        rows.append((*shown, *figures, *epochs, at_limit))
    notes = (
        "N: parameters without the tables of items (ids and frozen text features), MPO weights as their cores. "
        "D: training targets. C: floating point operations of training up to the best epoch, counted from one step "
        "(matrix products and attention, a multiplication with its addition as two); it is not 6 N D, since most "
        "operations encode and score items. Epochs are counted from 0.",
    )
    return Table("Runs", columns, tuple(rows), ("run", "limit"), notes)


def law_table(fits: dict) -> Table:
    """Return all laws of all metrics with how well they fit and their parameters."""
    columns = ("metric", "law", "form", "points", "R²", "rms", "AICc", UNSEEN, "parameters, 95 %")
    rows, unsettled = [], []
    for metric, found in fits["metrics"].items():
        for name in LAWS:
            law = found["laws"][name]
            cells = [Shown(metric), Shown(name), Shown(FORMULAS[name])]
            if "missing" in law:
                rows.append((*cells, *[Shown("")] * 5, Shown(law["missing"])))
                continue
            unseen = law.get("left_out") or {}
            largest = max(unseen, key=float, default=None)
            aicc = None if name in OF_ENVELOPE else law["aicc"]
            cells += [count(law["points"]), number(law["r2"], ".3f"), number(law["rms"]), number(aicc, ".1f")]
            cells += [number(unseen.get(largest)), Shown(_parameters(law["parameters"]))]
            unsettled += [f"{law['unsettled']} of {metric}, {name}"] if law["unsettled"] else []
            rows.append(tuple(cells))
    notes = [
        "AICc: lower is better; differences below 2 decide nothing. It compares laws of the same points alone, so that "
        "those of the envelope have none here. Intervals are the middle 95 % of 200 bootstrap draws. Amplitudes A are "
        "given at the geometric means of N, D and C.",
    ]
    if unsettled:
        notes.append(f"Draws that did not settle, so that the interval may be too narrow: {'; '.join(unsettled)}.")
    return Table("Laws", columns, tuple(rows), ("metric", "law", "form", "parameters, 95 %"), tuple(notes))


def _parameters(named: dict) -> str:
    return "; ".join(f"{name} {one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]" for name, one in named.items())


def transfer_table(plan: Plan, gains: Sequence[dict]) -> Table | None:
    """Return what pre-training gains on the other dataset; None where nothing of it is done."""
    if not gains:
        return None
    names = [name for name in plan.metrics if any(f"{name} difference" in row for row in gains)]
    columns = ["run", "seed", "N before", "D before"]
    for name in names:
        columns += [name, f"{name}, from scratch", f"{name}, difference", f"{name}, difference, 95 %"]
    columns.append(OTHERWISE)
    rows = []
    for row in gains:
        cells = [Shown(row["run"]), Shown(str(row["seed"]), row["seed"]), count(row["N"]), count(row["D"])]
        for name in names:
            cells += [number(row.get(key)) for key in (name, f"{name} scratch")]
            ends = "" if row.get(f"{name} low") is None else f"{row[f'{name} low']:+.4f} to {row[f'{name} high']:+.4f}"
            cells += [number(row.get(f"{name} difference"), "+.4f"), Shown(ends)]
        rows.append((*cells, Shown(row["otherwise"])))
    words = ("run", *(column for column in columns if "95 %" in column), OTHERWISE)
    notes = (
        "From scratch: the model that was pre-trained, in the same size, with the same seed and recipe. Where the last "
        "column names settings, the recipe is another one too, so that the difference is not of pre-training alone. "
        "Intervals are over users alone, for one run of each. Of the loss less is better.",
    )
    return Table("Transfer", tuple(columns), tuple(rows), words, notes)


def model_table(plan: Plan, outcomes: Sequence[Outcome]) -> Table | None:
    """Return runs that differ in their model alone, such as with MPO and without; None where there are none."""
    own = [one for one in outcomes if not one.cell.way]
    # Settings that one of the models lacks cannot be alike.
    common = set.intersection(*({*one.cell.complete} - {"model"} for one in own)) if own else set()
    alike: dict[str, list[Outcome]] = {}
    for one in own:
        settings = {key: one.cell.complete[key] for key in common}
        alike.setdefault(json.dumps([settings, one.cell.seed], sort_keys=True), []).append(one)
    rows = [
        (Shown(one.cell.row.name), Shown(str(one.cell.seed)), count(one.predictors[SIZE]))
        + (number(one.predictors[COMPUTE], ".2e"), *(number(one.value(name)) for name in plan.metrics))
        for same in alike.values()
        if len({one.cell.row.model for one in same}) > 1
        for one in same
    ]
    columns = ("run", "seed", "N", "C", *(f"test {name}" for name in plan.metrics))
    return Table("With MPO and without", columns, tuple(rows), ("run",)) if rows else None
