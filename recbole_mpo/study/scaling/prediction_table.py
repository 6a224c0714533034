"""What was predicted, beside what came out, with what can be checked of the order in which it happened."""

from collections.abc import Sequence

from recbole_mpo.study.report_parts import Shown, Table, number
from recbole_mpo.study.scaling.outcomes import Outcome
from recbole_mpo.study.scaling.plan import Plan
from recbole_mpo.study.scaling.predicted_runs import FIGURES, HASH_KEY, each_prediction, predicted_titles, was_before

BEFORE = "made before it began"
COLUMNS = ("metric", "run", "law", "predicted", "95 %", "outcome", "predicted − outcome", "inside", BEFORE)


def prediction_table(plan: Plan, prediction: dict | None, outcomes: Sequence[Outcome]) -> Table | None:
    """Return what was predicted beside what came out; None for a plan that holds nothing back."""
    held_back = [cell for cell in plan.cells if cell.is_held_back]
    if prediction is None and not held_back:
        return None
    done = {one.cell.title: one for one in outcomes}
    each = each_prediction(prediction) if prediction else []
    rows = [
        (Shown(metric), Shown(title), Shown(law), *_cells(metric, one, made, done.get(title)))
        for made in each
        for metric, by_run in made["metrics"].items()
        for title, laws in by_run.items()
        for law, one in laws.items()
    ]
    notes = [_note(made, done) for made in each]
    notes.append("F4 has straight lines in the logarithms, and is what F1 must beat.")
    predicted = predicted_titles(prediction, plan.metrics)
    without = [cell.title for cell in held_back if cell.title in done and cell.title not in predicted]
    if without:
        notes.append(f"Held back by the plan, but run without a prediction ({len(without)}): {'; '.join(without)}.")
    words = ("metric", "run", "law", "95 %", "inside", BEFORE)
    return Table("Prediction and outcome", COLUMNS, tuple(rows), words, tuple(notes))


def _cells(metric: str, one: dict, made: dict, outcome: Outcome | None) -> tuple[Shown, ...]:
    ends = Shown(f"{one['low']:.4f} to {one['high']:.4f}")
    if outcome is None:
        return number(one["value"]), ends, *[Shown("")] * 4
    value = outcome.value(metric)
    inside = "yes" if one["low"] <= value <= one["high"] else "no"
    before = "yes" if was_before(made, outcome.record) else "no"
    return number(one["value"]), ends, number(value), number(one["value"] - value, "+.4f"), Shown(inside), Shown(before)


def _note(made: dict, done: dict[str, Outcome]) -> str:
    """Return when and from what a prediction was made, and whether the records are still those."""
    count = len(made["records"])
    said = f"Predicted at {made['made']} from {count} records (together `{made['records_hash'][:16]}`)."
    if made.get(HASH_KEY) != FIGURES:
        return f"{said} Their hashes are of whole files, in an older form, and cannot be checked."
    other = [title for title, hash in made["records"].items() if title not in done or done[title].hash != hash]
    if not other:
        return f"{said} The figures of all {count} are still those."
    return f"{said} Of these {len(other)} have other figures now, or none: {'; '.join(other)}."
