"""The tables of a scaling report: runs, laws, prediction beside outcome, transfer, MPO on and off."""

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
    columns = ("metric", "law", "form", "points", "R²", "rms", "AICc", "rms at the largest D, unseen", "parameters, 95 %")
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
    notes = (
        "AICc: lower is better; differences below 2 decide nothing. It compares laws of the same points alone, so that "
        "those of the envelope have none here. Intervals are the middle 95 % of 200 bootstrap draws. Amplitudes A are "
        "given at the geometric means of N, D and C.",
        *([f"Draws that did not settle, so that the interval may be too narrow: {'; '.join(unsettled)}."] * bool(unsettled)),
    )
    return Table("Laws", columns, tuple(rows), ("metric", "law", "form", "parameters, 95 %"), notes)


def _parameters(named: dict) -> str:
    return "; ".join(f"{name} {one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]" for name, one in named.items())


def prediction_table(plan: Plan, prediction: dict | None, outcomes: Sequence[Outcome]) -> Table | None:
    """Return what was predicted before it was run, beside what came out; None without a prediction."""
    if prediction is None:
        return None
    done = {one.cell.title: one for one in outcomes}
    rows = []
    for metric, by_run in prediction["metrics"].items():
        for title, laws in by_run.items():
            for law, one in laws.items():
                value = done[title].value(metric) if title in done else None
                held = "" if value is None else "yes" if one["low"] <= value <= one["high"] else "no"
                error = None if value is None else one["value"] - value
                ends = Shown(f"{one['low']:.4f} to {one['high']:.4f}")
                cells = (Shown(metric), Shown(title), Shown(law), number(one["value"]), ends)
                rows.append((*cells, number(value), number(error, "+.4f"), Shown(held)))
    columns = ("metric", "run", "law", "predicted", "95 %", "outcome", "predicted − outcome", "inside")
    notes = (
        f"Predicted at {prediction['made']} from {len(prediction['records'])} records (together "
        f"`{prediction['records_hash'][:16]}`), before the runs were begun: scaling run leaves them out until "
        "prediction.json is there. F4 has straight lines in the logarithms, and is what F1 must beat.",
    )
    return Table("Prediction and outcome", columns, tuple(rows), ("metric", "run", "law", "95 %", "inside"), notes)


def transfer_table(plan: Plan, gains: Sequence[dict]) -> Table | None:
    """Return what pre-training gains on the other dataset; None where nothing of it is done."""
    if not gains:
        return None
    names = [name for name in plan.metrics if any(f"{name} difference" in row for row in gains)]
    columns = ["run", "N before", "D before"]
    for name in names:
        columns += [name, f"{name}, from scratch", f"{name}, difference", f"{name}, difference, 95 %"]
    rows = []
    for row in gains:
        cells = [Shown(row["run"]), count(row["N"]), count(row["D"])]
        for name in names:
            cells += [number(row.get(key)) for key in (name, f"{name} scratch")]
            ends = "" if row.get(f"{name} low") is None else f"{row[f'{name} low']:+.4f} to {row[f'{name} high']:+.4f}"
            cells += [number(row.get(f"{name} difference"), "+.4f"), Shown(ends)]
        rows.append(tuple(cells))
    words = ("run", *(column for column in columns if "95 %" in column))
    notes = (
        "From scratch: the same size and the same recipe. Intervals are over users alone, for one run of each. Of the "
        "loss less is better.",
    )
    return Table("Transfer", tuple(columns), tuple(rows), words, notes)


def model_table(plan: Plan, outcomes: Sequence[Outcome]) -> Table | None:
    """Return runs that differ in their model alone, such as with MPO and without; None where there are none."""
    alike: dict[tuple, dict[str, Outcome]] = {}
    for one in (one for one in outcomes if not one.cell.way):
        key = tuple(one.cell.value(name) for name in ("train_users", "hidden_size", "n_layers")) + (one.cell.seed,)
        alike.setdefault(key, {})[one.cell.row.model] = one
    rows = [
        (Shown(one.cell.row.name), Shown(str(one.cell.seed)), count(one.predictors[SIZE]))
        + (number(one.predictors[COMPUTE], ".2e"), *(number(one.value(name)) for name in plan.metrics))
        for same in alike.values()
        if len(same) > 1
        for one in same.values()
    ]
    columns = ("run", "seed", "N", "C", *(f"test {name}" for name in plan.metrics))
    return Table("With MPO and without", columns, tuple(rows), ("run",)) if rows else None
