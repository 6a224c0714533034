"""The figures of a scaling report: a metric against data, size, compute, width and depth, and what the laws leave."""

from collections.abc import Sequence

import numpy as np

from recbole_mpo.study.report_parts import Picture
from recbole_mpo.study.report_plots import axis, colour, layout, marker, name_of, scale_of
from recbole_mpo.study.scaling.fitting import Fit, Points
from recbole_mpo.study.scaling.metric_fits import laws_of
from recbole_mpo.study.scaling.outcomes import COMPUTE, DATA, DEPTH, SIZE, WIDTH, Outcome, cells_of

TITLES = {
    SIZE: "parameters without tables of items (N)",
    DATA: "training targets (D)",
    COMPUTE: "floating point operations (C)",
    WIDTH: "width",
    DEPTH: "depth",
}
# Places of a law's line between its points.
PLACES = 30


def file_name(metric: str) -> str:
    """Return a metric's name for files."""
    return metric.replace("@", "_at_")


def law_of(found: dict, metric: str, name: str) -> Fit | None:
    """Return a law as ``fit.json`` holds it; None if it could not be fitted."""
    law, one = laws_of(metric != "loss")[name], found["laws"][name]
    if "missing" in one:
        return None
    parameters = np.array([value["value"] for value in one["parameters"].values()])
    centres = np.log([one["centres"][predictor] for predictor in law.predictors])
    return Fit(law, parameters, np.array(centres), one["rms"], one["r2"], one["aicc"])


def against(outcomes: Sequence[Outcome], metric: str, x: str, by: str, found: dict) -> Picture:
    """Return a metric against data or size, a line of F1 for each value of the other.

    Args:
        outcomes: runs of the main grid.
        metric: name of the metric.
        x: the predictor on the axis.
        by: the predictor that tells the lines apart.
        found: the metric's part of ``fit.json``.
    """
    rows = [
        {"run": one.cell.row.name, "seed": one.cell.seed, **one.predictors, f"test {metric}": one.value(metric)}
        for one in outcomes
    ]
    fitted = law_of(found, metric, "F1")
    traces = []
    for place, value in enumerate(sorted({row[by] for row in rows})):
        own = sorted((row for row in rows if row[by] == value), key=lambda row: row[x])
        traces += _marks(place, f"{by} = {_short(value)}", own, x, f"test {metric}")
        if fitted is not None:
            ends = [row[x] for row in rows]
            xs = np.geomspace(min(ends), max(ends), PLACES)
            there = Points({x: xs, by: np.full(PLACES, value)}, xs, xs)
            traces.append(_line(place, xs, fitted.at(there)))
    return _picture(f"{file_name(metric)}_{x}", f"Test {metric} against {TITLES[x]}", rows, traces, x, f"test {metric}")


def against_compute(outcomes: Sequence[Outcome], metric: str, found: dict) -> Picture:
    """Return a metric against compute with the envelope, and F2 with its interval, or F3 without F2."""
    rows = [
        {"run": one.cell.row.name, "seed": one.cell.seed, **one.predictors, f"test {metric}": one.value(metric)}
        | {"envelope": "yes" if cell in found["envelope"] else "no"}
        for cell, one in zip(cells_of(outcomes).tolist(), outcomes, strict=True)
    ]
    traces = []
    name = next((name for name in ("F2", "F3") if "curve" in found["laws"][name]), None)
    if name:
        curve = found["laws"][name]["curve"]
        xs = [one[COMPUTE] for one in curve]
        band = [one["low"] for one in curve] + [one["high"] for one in curve][::-1]
        fill = {"fill": "toself", "fillcolor": "rgba(0,114,178,0.15)", "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(
            {"type": "scatter", "x": xs + xs[::-1], "y": band, "name": "95 % of draws", "mode": "lines", **fill}
        )
        traces.append({**_line(0, xs, [one["value"] for one in curve]), "name": name, "showlegend": True})
    for place, (label, shown) in enumerate((("on the envelope", "yes"), ("below it", "no"))):
        own = [row for row in rows if row["envelope"] == shown]
        traces += _marks(place, label, own, COMPUTE, f"test {metric}")
    title = f"Test {metric} against {TITLES[COMPUTE]}"
    return _picture(f"{file_name(metric)}_C", title, rows, traces, COMPUTE, f"test {metric}")


def width_and_depth(outcomes: Sequence[Outcome], metric: str) -> Picture | None:
    """Return a metric against depth, a line per width and size of the data; None where depth does not vary."""
    rows = [
        {"run": one.cell.row.name, "seed": one.cell.seed, **one.predictors, f"test {metric}": one.value(metric)}
        for one in outcomes
    ]
    if len({row[DEPTH] for row in rows}) < 2:
        return None
    data = {row[DATA] for row in rows if len({other[DEPTH] for other in rows if other[DATA] == row[DATA]}) > 1}
    rows = [row for row in rows if row[DATA] in data]
    traces = []
    for place, key in enumerate(sorted({(row[DATA], row[WIDTH]) for row in rows})):
        own = sorted((row for row in rows if (row[DATA], row[WIDTH]) == key), key=lambda row: row[DEPTH])
        name = f"width {key[1]:g}, D = {_short(key[0])}"
        traces += _marks(place, name, own, DEPTH, f"test {metric}", mode="lines+markers")
    title = f"Test {metric} against depth, by width"
    return _picture(f"{file_name(metric)}_depth", title, rows, traces, DEPTH, f"test {metric}")


def residuals(outcomes: Sequence[Outcome], metric: str, found: dict) -> Picture | None:
    """Return what F1 leaves of each run, against data; None without F1."""
    fitted = law_of(found, metric, "F1")
    if fitted is None:
        return None
    rows = []
    for one in outcomes:
        sizes = one.predictors
        there = Points({name: np.array([sizes[name]]) for name in (SIZE, DATA)}, np.zeros(1), np.zeros(1))
        expected, value = float(fitted.at(there)[0]), one.value(metric)
        rows.append(
            {"run": one.cell.row.name, "seed": one.cell.seed, **sizes, "F1": expected, "left": value - expected}
        )
    traces = []
    for place, value in enumerate(sorted({row[SIZE] for row in rows})):
        own = [row for row in rows if row[SIZE] == value]
        traces += _marks(place, f"N = {_short(value)}", own, DATA, "left")
    title = f"Test {metric}: what F1 leaves"
    return _picture(f"{file_name(metric)}_residuals", title, rows, traces, DATA, "left")


def profile_picture(metric: str, found: dict) -> Picture | None:
    """Return the best R2 of F1 for each asymptote E; None without F1."""
    rows = found.get("profile")
    if not rows:
        return None
    line = {"type": "scatter", "mode": "lines+markers", "marker": marker(0, 6), "line": {"color": colour(0)}}
    trace = {**line, "x": [row["E"] for row in rows], "y": [row["r2"] for row in rows], "showlegend": False}
    plot = {"data": [trace], "layout": layout(380, xaxis=axis("E"), yaxis=axis("best R²"))}
    notes = ("A flat line says that these runs do not tell the asymptote.",)
    return Picture(
        f"{file_name(metric)}_profile", f"Test {metric}: R² of F1 by its asymptote", tuple(rows), plot, notes
    )


def transfer_picture(gains: Sequence[dict], metric: str, target: str) -> Picture | None:
    """Return the gain of fine-tuning over training from scratch, against the data of pre-training."""
    rows = [row for row in gains if row.get(f"{metric} difference") is not None and row[DATA]]
    if not rows:
        return None
    traces = []
    for place, key in enumerate(sorted({(row["way"], row["width"]) for row in rows})):
        own = sorted((row for row in rows if (row["way"], row["width"]) == key), key=lambda row: row[DATA])
        name = f"{key[0]}, width {key[1]:g}" + (" (another recipe)" if own[0]["otherwise"] else "")
        marks = _marks(place, name, own, DATA, f"{metric} difference", mode="lines+markers")[0]
        if own[0][f"{metric} low"] is not None:
            up = [row[f"{metric} high"] - row[f"{metric} difference"] for row in own]
            down = [row[f"{metric} difference"] - row[f"{metric} low"] for row in own]
            marks["error_y"] = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1}
        traces.append(marks)
    title = f"{target}: test {metric}, difference from training from scratch"
    return _picture(f"{file_name(metric)}_transfer", title, rows, traces, DATA, f"{metric} difference")


def _marks(place: int, name: str, rows: Sequence[dict], x: str, y: str, mode: str = "markers") -> list[dict]:
    points = {
        "x": [row[x] for row in rows],
        "y": [row[y] for row in rows],
        "text": [name_of(row["run"]) for row in rows],
    }
    hover = "%{text}<br>%{x:.4~g}: %{y:.4f}<extra></extra>"
    mark = {"marker": marker(place), "line": {"color": colour(place), "width": 1}}
    return [{"type": "scatter", "mode": mode, "name": name_of(name), **mark, **points, "hovertemplate": hover}]


def _line(place: int, xs, ys) -> dict:
    line = {"color": colour(place), "width": 1.5}
    points = {"x": [float(x) for x in xs], "y": [float(y) for y in ys]}
    return {"type": "scatter", "mode": "lines", "line": line, **points, "showlegend": False, "hoverinfo": "skip"}


def _picture(name: str, title: str, rows: Sequence[dict], traces: list[dict], x: str, y: str) -> Picture:
    values = [row[x] for row in rows]
    # Laws are straight in logarithms, or nearly so, however close the values are.
    values += [9 * min(values)] if x in (SIZE, DATA, COMPUTE) else []
    across = axis(TITLES[x], **scale_of(values))
    plot = {"data": traces, "layout": layout(460, xaxis=across, yaxis=axis(y))}
    return Picture(name, title, tuple(rows), plot)


def _short(value: float) -> str:
    return f"{value:,.0f}"
