"""The figures of a report about whole groups: differences, training, and quality against cost."""

from recbole_mpo.study.report_parts import Picture
from recbole_mpo.study.report_plots import axis, colour, dash, layout, marker, name_of, scale_of
from recbole_mpo.study.report_rows import LEVEL, GroupRow, Results

METHODS = (
    "Difference: mean over users of seed-averaged gains. Interval over users: percentile bootstrap. Interval with "
    "seeds too: for other seeds of the same models; where it holds zero, other seeds may reverse the difference, "
    "whatever the p-values say, which count users alone.",
    "p (t): two-sided paired t-test over users; p (Holm): the same, adjusted for all models and metrics of this "
    "report; p (random signs): a check of the t-test. Effect size: Cohen's d of the paired differences. Wins, ties and "
    "losses are users.",
)
COSTS = {
    "trainable": ("quality_parameters", "trainable parameters"),
    "seconds": ("quality_seconds", "seconds of a whole run"),
    "peak_mb": ("quality_memory", "peak memory (MB)"),
}


def difference_picture(results: Results) -> Picture | None:
    """Return the differences to the reference with their intervals, one panel per metric; None without any."""
    rows = [
        {"model": row.name, "metric": metric, "difference": one.mean, "low": one.low, "high": one.high}
        | {"seeds_low": one.seeds_low, "seeds_high": one.seeds_high, "p_holm": one.p_holm}
        for metric in results.metrics
        for row in results.rows
        if (one := row.scores[metric].difference) is not None
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(row["model"] for row in rows))
    traces = [_difference_trace(place, metric, rows) for place, metric in enumerate(results.metrics)]
    settings = layout(130 + 34 * len(names), showlegend=False, yaxis=_name_axis(names))
    share = 1 / len(results.metrics)
    for place, metric in enumerate(results.metrics):
        domain = [place * share + 0.015, (place + 1) * share - 0.015]
        settings[f"xaxis{_suffix(place)}"] = axis(metric, domain=domain, tickformat=".3~f", nticks=5)
    notes = (
        f"Differences to {results.reference_name} with 95 % intervals over users; thin where seeds are counted too. "
        f"Filled: p (Holm) below {LEVEL}.",
        *METHODS,
    )
    plot = {"data": [trace for pair in traces for trace in pair], "layout": settings}
    return Picture("differences", f"Differences to {results.reference_name}", tuple(rows), plot, notes)


def _suffix(place: int) -> str:
    return str(place + 1) if place else ""


def _name_axis(names: list[str]) -> dict:
    return axis("", type="category", categoryarray=[name_of(name) for name in names[::-1]], categoryorder="array")


def _difference_trace(place: int, metric: str, rows: list[dict]) -> list[dict]:
    """Return the marks of one metric: the wide intervals that count seeds below those over users."""
    rows = [row for row in rows if row["metric"] == metric]
    wide = [row for row in rows if row["seeds_low"] is not None]
    on = {"type": "scatter", "mode": "markers", "xaxis": f"x{_suffix(place)}", "yaxis": "y"}
    fills = [colour(0) if row["p_holm"] < LEVEL else "#FFFFFF" for row in rows]
    marks = {"color": fills, "size": 9, "line": {"color": colour(0), "width": 1.5}}
    below = {**on, "marker": {"opacity": 0}, "hoverinfo": "skip", **_points(wide, "seeds_low", "seeds_high", 1)}
    return [below, {**on, "marker": marks, "name": name_of(metric), **_points(rows, "low", "high", 3)}]


def _points(rows: list[dict], low: str, high: str, thickness: int) -> dict:
    middles = [row["difference"] for row in rows]
    ends = {
        "array": [row[high] - middle for row, middle in zip(rows, middles, strict=True)],
        "arrayminus": [middle - row[low] for row, middle in zip(rows, middles, strict=True)],
    }
    error = {"type": "data", "symmetric": False, "thickness": thickness, "width": 3, "color": colour(0), **ends}
    return {"x": middles, "y": [name_of(row["model"]) for row in rows], "error_x": error}


def training_picture(results: Results) -> Picture | None:
    """Return the valid metric after each epoch of each run; None if no record holds any."""
    rows = [
        {"model": group.name, "seed": record["seed"], "epoch": epoch, f"valid {results.main}": value}
        for group in results.groups
        for record, _ in group.runs
        for epoch, value in _curve(record, results.main)
    ]
    # A model without training has one point.
    trained = {(row["model"], row["seed"]) for row in rows if row["epoch"] > 0}
    rows = [row for row in rows if (row["model"], row["seed"]) in trained]
    if not rows:
        return None
    plot = {
        "data": [trace for place, group in enumerate(results.groups) for trace in _lines(place, group.name, rows)],
        "layout": layout(460, xaxis=axis("epoch", zeroline=False), yaxis=axis(f"valid {results.main}")),
    }
    title = f"Training: valid {results.main} after each epoch"
    return Picture("training", title, tuple(rows), plot, ("One line per seed. Epochs are counted from 0.",))


def _curve(record: dict, metric: str) -> list[tuple[int, float]]:
    """Return epoch and valid metric of each epoch that a record tells of; what else it may hold there is left out."""
    history = record.get("history")
    points = []
    for entry in history if isinstance(history, list) else []:
        valid = entry.get("valid") if isinstance(entry, dict) else None
        value = valid.get(metric) if isinstance(valid, dict) else None
        if isinstance(value, int | float) and isinstance(entry.get("epoch"), int):
            points.append((entry["epoch"], value))
    return points


def _lines(place: int, name: str, rows: list[dict]) -> list[dict]:
    traces = []
    mine = [row for row in rows if row["model"] == name]
    for seed in dict.fromkeys(row["seed"] for row in mine):
        points = [row for row in mine if row["seed"] == seed]
        x, y = ([row[key] for row in points] for key in ("epoch", list(points[0])[-1]))
        line = {"color": colour(place), "dash": dash(place), "width": 1.5}
        shown = {"name": name_of(name), "legendgroup": str(place), "showlegend": not traces}
        hover = f"{name_of(name)}, seed {seed}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>"
        traces.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "hovertemplate": hover, **shown}
        )
    return traces


def cost_pictures(results: Results) -> list[Picture]:
    """Return quality against trainable parameters, seconds and memory, one figure each, where records hold them."""
    pictures = (_cost_picture(results, cost, name, title) for cost, (name, title) in COSTS.items())
    return [picture for picture in pictures if picture is not None]


def _cost_picture(results: Results, cost: str, name: str, title: str) -> Picture | None:
    metric = results.main
    places = [place for place, row in enumerate(results.rows) if _has_both(row, cost, metric)]
    if not places:
        return None
    shown = [results.rows[place] for place in places]
    scores = [row.scores[metric] for row in shown]
    costs = [vars(row)[cost] for row in shown]
    rows = [
        {"model": row.name, title: value, f"test {metric}": score.mean, "sd": score.sd}
        for row, value, score in zip(shown, costs, scores, strict=True)
    ]
    scale = scale_of(costs)
    traces, shapes = [], []
    for place, row in zip(places, rows, strict=True):
        if row[title] or scale.get("type") != "log":
            traces.append(_cost_mark(place, row, title, metric))
        else:
            traces.append(_legend_line(place, row))
            shapes.append(_level(place, row[f"test {metric}"]))
    settings = layout(440, xaxis=axis(title, **scale), yaxis=axis(f"test {metric}"), shapes=shapes)
    notes = ["Bars: standard deviation over seeds."] if any(row["sd"] for row in rows) else []
    notes += [f"A line across the plot: no {title}."] if shapes else []
    plot = {"data": traces, "layout": settings}
    return Picture(name, f"Test {metric} against {title}", tuple(rows), plot, tuple(notes))


def _has_both(row: GroupRow, cost: str, metric: str) -> bool:
    return vars(row)[cost] is not None and row.scores[metric].mean is not None


def _cost_mark(place: int, row: dict, title: str, metric: str) -> dict:
    error = {"type": "data", "array": [row["sd"] or 0], "visible": bool(row["sd"]), "thickness": 1.5, "width": 4}
    hover = f"{name_of(row['model'])}<br>{title}: %{{x:,.4~g}}<br>{metric}: %{{y:.4f}}<extra></extra>"
    point = {"x": [row[title]], "y": [row[f"test {metric}"]], "error_y": error, "hovertemplate": hover}
    return {"type": "scatter", "mode": "markers", "name": name_of(row["model"]), "marker": marker(place, 11), **point}


def _legend_line(place: int, row: dict) -> dict:
    line = {"color": colour(place), "dash": dash(place), "width": 1.5}
    return {"type": "scatter", "mode": "lines", "x": [None], "y": [None], "name": name_of(row["model"]), "line": line}


def _level(place: int, value: float) -> dict:
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": value, "y1": value, "yref": "y"}
    return {"type": "line", "line": {"color": colour(place), "dash": dash(place), "width": 1.5}, **ends}
