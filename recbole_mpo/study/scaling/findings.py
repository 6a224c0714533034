"""What a scaling study says and what it cannot know, in words."""

import math
from collections.abc import Sequence

from recbole_mpo.study.scaling.envelope import LEAST_POINTS
from recbole_mpo.study.scaling.laws import EXPONENTS
from recbole_mpo.study.scaling.metric_fits import AT_BOUND
from recbole_mpo.study.scaling.outcomes import Outcome


def findings(outcomes: Sequence[Outcome], fits: dict, missing: Sequence[str]) -> str:
    """Return the conclusions of a study as Markdown.

    Args:
        outcomes: runs of the main grid.
        fits: content of ``fit.json``.
        missing: titles of runs that are not done.
    """
    lines = []
    for metric, found in fits["metrics"].items():
        lines += [*_of_metric(metric, found), *_turns(metric, found["turns"])]
    lines += _limits(outcomes)
    lines += [f"Not done yet, of the plan ({len(missing)}): {'; '.join(missing)}."] if missing else []
    return "\n".join(f"- {line}" for line in lines)


def _of_metric(metric: str, found: dict) -> list[str]:
    lines, law = [], found["laws"]["F1"]
    if found["doubts"]:
        lines.append(f"**{metric}: asymptote not identified.** {_sentence('; '.join(found['doubts']))}")
    else:
        ends = law["parameters"]["E"]
        lines.append(f"**{metric}: asymptote** E = {_with_ends(ends)}.")
    if "missing" not in law:
        unsure = " They depend on the asymptote, so they are no better known than it." if found["doubts"] else ""
        lines.append(f"{metric}: {_exponents(law)}{unsure}")
        rows = found["profile"]
        lines.append(
            f"{metric}: with any E from {rows[0]['E']:.4g} to {rows[-1]['E']:.4g} the R² of F1 is between "
            f"{min(row['r2'] for row in rows):.4f} and {max(row['r2'] for row in rows):.4f}."
        )
        lines += _optimal(metric, found, bool(found["doubts"] or _open_ended(law)))
    lines += _width_depth(metric, found["width_depth"])
    return lines


def _exponents(law: dict) -> str:
    named = ", ".join(f"{name} {_with_ends(one)}" for name, one in _named_exponents(law).items())
    unknown = _open_ended(law)
    if not unknown:
        return f"{named}."
    return f"{named}. Not known, since its interval ends where the search ends: {', '.join(unknown)}."


def _named_exponents(law: dict) -> dict[str, dict]:
    return {name: one for name, one in law["parameters"].items() if name.startswith("exponent")}


def _open_ended(law: dict) -> list[str]:
    return [name for name, one in _named_exponents(law).items() if _reaches_a_bound(one)]


def _reaches_a_bound(one: dict) -> bool:
    lowest, highest = EXPONENTS
    room = AT_BOUND * (highest - lowest)
    return one["low"] <= lowest + room or one["high"] >= highest - room


def _optimal(metric: str, found: dict, in_doubt: bool) -> list[str]:
    """Return the best sizes; those of a law in doubt would be made up."""
    optimal = found["optimal"]
    by_law = ", ".join(f"{name} as C^{_with_ends(one)}" for name, one in optimal["F1"].items())
    lines = [] if in_doubt else [f"{metric}: for a compute of 6 N D, F1 has its best at {by_law}."]
    slopes, points = optimal["envelope"], len(found["envelope"])
    if slopes is None:
        few = f"the envelope has {points} points, fewer than {LEAST_POINTS}: too few for best sizes"
        return [*lines, f"{metric}: {few}."]
    grown = ", ".join(f"{name} as C^{_with_ends(one)}" for name, one in slopes.items())
    said = f"{metric}: along the {points} points of the envelope of counted operations the best runs grow as {grown}"
    return [*lines, f"{said}, the intervals those of straight lines, as if the points had not been chosen as the best."]


def _width_depth(metric: str, found: dict | None) -> list[str]:
    if found is None:
        return [f"{metric}: width and depth have no exponents of their own: one of them has fewer than three values."]
    return [f"{metric}: with a term each for width, depth and data (R² {found['r2']:.3f}), {_exponents(found)}"]


def _turns(metric: str, found: dict) -> list[str]:
    """Return that larger models are worse somewhere, which none of the laws can say."""
    sizes, worse, beyond = (found[key] for key in ("sizes", "worse", "beyond seeds"))
    if not worse:
        return []
    where = f"{metric}: at {worse} of {sizes} sizes of the data the largest model is not the best"
    if beyond is None:
        return [f"{where}, in one run each, so that chance may be the reason."]
    if not beyond:
        return [f"{where}, but nowhere by more than seeds differ (Student's test, 95 %)."]
    return [
        f"{where}, by more than seeds differ at {beyond} of them (Student's test, 95 %). F1 knows no such turn: in it "
        "more parameters never harm."
    ]


def _limits(outcomes: Sequence[Outcome]) -> list[str]:
    at_limit = sum(bool(one.record.get("hit_epoch_limit")) for one in outcomes)
    seeds = len({one.cell.seed for one in outcomes})
    lines = []
    if at_limit:
        lines.append(
            f"{at_limit} of {len(outcomes)} runs reached the largest number of epochs: longer training might change "
            "their figures, and with them the laws."
        )
    guesses = sum(one.value("loss") >= math.log(one.record["data"]["item_num"] - 1) for one in outcomes)
    if guesses:
        lines.append(
            f"{guesses} of {len(outcomes)} runs have a loss of a guess or more, the logarithm of the number of items: "
            "they are trained too little, or at a rate that does not suit them, for laws to mean anything."
        )
    if seeds == 1:
        lines.append(
            "All runs have one seed. How far seeds lie apart was not measured; intervals come from what the laws leave."
        )
    lines.append(
        "All figures are of the same test users. Intervals do not count that other users would give other figures, nor "
        "that another learning rate or more dropout may suit other sizes better: one recipe served all."
    )
    lines.append(
        "N grows with the width more than with anything else, so that what is said of N is mostly said of the width."
    )
    return lines


def _with_ends(one: dict) -> str:
    return f"{one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
