"""All laws of one metric, with their intervals, and whether the points tell its asymptote."""

import numpy as np

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.scaling.envelope import analytic_slopes, envelope, optimal_slopes
from recbole_mpo.study.scaling.fitting import Fit, Points, fit
from recbole_mpo.study.scaling.laws import Law, Logistic, LogLinear, PowerLaw
from recbole_mpo.study.scaling.outcomes import COMPUTE, DATA, DEPTH, SIZE, WIDTH
from recbole_mpo.study.scaling.turns import turns
from recbole_mpo.study.scaling.uncertainty import bootstrap, fits_as_well, interval, leave_out, profile

# By so much Akaike's criterion of the law must be below that of straight lines in the logarithms.
LEAST_GAIN = 2.0
# Of the room between the bounds of E: an end of its interval that is closer to one than this has come up against it.
AT_BOUND = 1e-3
LAWS = ("F1", "F2", "F3", "F4", "constant")


def laws_of(rises: bool) -> dict[str, Law]:
    """Return the laws by name: F1 of size and data, F2 and F3 of compute, F4 without asymptote, and a constant."""
    laws = (PowerLaw((SIZE, DATA), rises), PowerLaw((COMPUTE,), rises), Logistic((COMPUTE,)))
    return dict(zip(LAWS, (*laws, LogLinear((SIZE, DATA)), LogLinear()), strict=True))


def metric_fits(metric: str, points: Points, sized: Points) -> dict:
    """Return what ``fit.json`` holds of one metric.

    Args:
        metric: name of the metric; ``loss`` falls, all others rise.
        points: runs of the main grid; those that differ in their seed alone count as one, their mean.
        sized: runs of all depths and widths of its model.

    Raises:
        RecordError: there are too few points even for straight lines.
    """
    rises = metric != "loss"
    found = {"metric": metric, "runs": len(points), "turns": turns(points, rises)}
    points, sized = points.of_cells(), sized.of_cells()
    places = envelope(points, rises)
    found |= {"points": len(points), "envelope": points.cells_n[places].tolist(), "laws": {}}
    for name, law in laws_of(rises).items():
        used = points[places] if law.predictors == (COMPUTE,) else points
        try:
            fitted = fit(law, used)
        except RecordError as problem:
            found["laws"][name] = {"missing": str(problem)}
            continue
        draws, unsettled = bootstrap(fitted, used)
        found["laws"][name] = described(fitted, draws, unsettled) | {"points": len(used)}
        if law.predictors == (COMPUTE,):
            found["laws"][name]["curve"] = _curve(fitted, draws, used)
        if name in ("F1", "F4"):
            found["laws"][name]["left_out"] = {str(key): error for key, error in leave_out(law, used, DATA).items()}
        if name == "F1":
            found["profile"] = profile(law, points)
            found["optimal"] = _optimal(fitted, draws, points, places)
    found["doubts"] = doubts(found, laws_of(rises)["F1"], points)
    found["width_depth"] = _width_depth(sized, rises)
    return found


def described(fitted: Fit, draws_BP: np.ndarray, unsettled: int) -> dict:
    """Return a fit and the 95 % intervals of its parameters as plain data, and how many draws are not settled."""
    ends = [interval(draws_B) for draws_B in draws_BP.T]
    named = zip(fitted.named().items(), ends, strict=True)
    parameters = {name: {"value": value, "low": low, "high": high} for (name, value), (low, high) in named}
    centres = dict(zip(fitted.law.predictors, np.exp(fitted.centres).tolist(), strict=True))
    return {
        "parameters": parameters,
        "centres": centres,
        "r2": fitted.r2,
        "rms": fitted.rms,
        "aicc": fitted.aicc,
        "unsettled": unsettled,
    }


def _curve(fitted: Fit, draws_BP: np.ndarray, points: Points, count: int = 40) -> list[dict[str, float]]:
    """Return a law of compute at several places between the points, with 95 % of the bootstrap draws."""
    ends = points.predictors[COMPUTE]
    compute = np.geomspace(ends.min(), ends.max(), count)
    there = Points({COMPUTE: compute}, np.zeros(count), np.zeros(count))
    drawn, values = fitted.at(there, draws_BP), fitted.at(there)
    columns = zip(compute.tolist(), values.tolist(), drawn.T, strict=True)
    return [
        dict(zip((COMPUTE, "value", "low", "high"), (at, value, *interval(one)), strict=True))
        for at, value, one in columns
    ]


def doubts(found: dict, law: PowerLaw, points: Points) -> list[str]:
    """Return why the points do not tell the asymptote E of F1; nothing if they do."""
    laws = found["laws"]
    if "missing" in laws["F1"]:
        return [f"F1 could not be fitted: {laws['F1']['missing']}"]
    reasons = _at_bounds(laws["F1"]["parameters"], law, points)
    reasons += _open_profile(found["profile"], len(points), len(law.names))
    reasons += _turned(found["turns"])
    if laws["F1"]["unsettled"]:
        reasons.append(f"{laws['F1']['unsettled']} draws of the bootstrap did not settle")
    criteria = [laws[name].get("aicc") for name in ("F1", "F4")]
    if None in criteria:
        reasons.append("there are too few runs to compare F1 with straight lines (AICc)")
    elif criteria[1] - criteria[0] < LEAST_GAIN:
        gain = criteria[1] - criteria[0]
        reasons.append(f"straight lines in the logarithms fit as well: AICc of F4 minus that of F1 is {gain:.1f}")
    return reasons


def _at_bounds(parameters: dict, law: PowerLaw, points: Points) -> list[str]:
    """Return which intervals reach a bound: beyond it E may be another, even if that of another parameter does."""
    reasons = []
    bounds = zip(law.names, *law.bounds(points.values_n), strict=True)
    for name, lowest, highest in bounds:
        room = AT_BOUND * float(highest - lowest)
        for end, bound in (("low", float(lowest)), ("high", float(highest))):
            if abs(parameters[name][end] - bound) <= room:
                reasons.append(f"the interval of {name} reaches its bound {bound:.4g}")
    return reasons


def _open_profile(rows: list[dict], count: int, size: int) -> list[str]:
    """Return that the profile of E does not fall far enough on one of its sides."""
    alike = fits_as_well(rows, count, size)
    if not {rows[0]["E"], rows[-1]["E"]} & {*alike}:
        return []
    return [f"any E from {min(alike):.4g} to {max(alike):.4g} fits as well (ratio of likelihoods, 95 %)"]


def _turned(found: dict) -> list[str]:
    """Return that F1 is not the form of the points, where larger models are worse by more than seeds differ."""
    if not found["beyond seeds"]:
        return []
    where = f"{found['beyond seeds']} of {found['sizes']} sizes of the data"
    return [f"at {where} the largest model is worse than a smaller one, which F1 cannot say"]


def _optimal(fitted: Fit, draws: np.ndarray, points: Points, places: np.ndarray) -> dict:
    """Return the exponents of the best size and data: along the envelope, and by F1."""
    of_law = {
        name: dict(zip(("value", "low", "high"), (float(value), *interval(draws_B)), strict=True))
        for name, (value, draws_B) in analytic_slopes(fitted, draws).items()
    }
    return {"envelope": optimal_slopes(points, places), "F1": of_law}


def _width_depth(sized: Points, rises: bool) -> dict | None:
    """Return the law with an exponent each for width, depth and data; None where depth or width does not vary."""
    if any(len(np.unique(sized.predictors[name])) < 3 for name in (WIDTH, DEPTH)):
        return None
    law = PowerLaw((WIDTH, DEPTH, DATA), rises)
    try:
        fitted = fit(law, sized)
    except RecordError:
        return None
    return described(fitted, *bootstrap(fitted, sized))
