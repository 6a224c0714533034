"""Plots of quality against size and speed as SVG, with the variants that no other beats in both marked.

The text is SVG itself: a viewer needs no library and no network.
"""

import math
from html import escape

WIDTH, HEIGHT = 460, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 44
# Colour-blind safe (Okabe and Ito, 2008), a colour per family of methods.
FAMILIES = {
    "uncompressed": ("#000000", ("uncompressed", "as trained")),
    "parts": ("#E69F00", ("ffn", "heads", "experts", "feature-pca")),
    "zeros": ("#56B4E9", ("prune",)),
    "low rank": ("#009E73", ("svd", "svd-energy")),
    "MPO": ("#D55E00", ("mpo", "mpo-energy", "squeeze")),
    "fewer bits": ("#0072B2", ("fp16", "int8", "int8-fast", "int4")),
    "item vectors": ("#CC79A7", ("item-svd", "item-pca", "item-fp16", "item-int8", "item-pq")),
}
PANELS = (
    ("training checkpoint, MB", lambda row: row["bytes"]["checkpoint"] / 1e6),
    ("serving with stored item vectors, MB", lambda row: row["bytes"]["serving_items"] / 1e6),
    ("milliseconds to rank 256 histories", lambda row: row["latency_ms"]["batch_256"]["busy_p50"]),
)


def front(costs: list[float], values: list[float]) -> list[int]:
    """Return the places, by cost, of the points that no other point beats: cheaper and better, or equal in one.

    Args:
        costs: smaller is better.
        values: larger is better.
    """
    best, places = -math.inf, []
    for place in sorted(range(len(costs)), key=lambda n: (costs[n], -values[n])):
        if values[place] > best:
            best = values[place]
            places.append(place)
    return places


def draw_pareto(rows: list[dict], metric: str = "ndcg@10") -> str:
    """Return an SVG with a panel per cost; a ring marks a variant that was trained further.

    Args:
        rows: rows of a report.
        metric: the quality on the vertical axis, on the test part or, without one, the valid part.
    """
    split = "test" if "test" in rows[0] else "valid"
    values = [row[split][metric] for row in rows]
    # Times may not have been taken yet.
    drawn = PANELS if all("latency_ms" in row for row in rows) else PANELS[:-1]
    panels = []
    for number, (title, cost_of) in enumerate(drawn):
        panel = _panel(rows, [cost_of(row) for row in rows], values, title, f"{metric.upper()}, {split}")
        panels.append(f'<g transform="translate({number * WIDTH},0)">{panel}</g>')
    width, height = WIDTH * len(drawn), HEIGHT + 30
    legend = "".join(
        f'<circle cx="{60 + 150 * place}" cy="{HEIGHT + 12}" r="5" fill="{colour}"/>'
        f'<text x="{72 + 150 * place}" y="{HEIGHT + 16}">{escape(name)}</text>'
        for place, (name, (colour, _)) in enumerate(FAMILIES.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="quality against size and speed">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(panels) + f"\n{legend}\n</svg>\n"
    )


def _panel(rows: list[dict], costs: list[float], values: list[float], title: str, axis: str) -> str:
    low, high = min(costs) * 0.9, max(costs) * 1.1
    floor, ceiling = min(values), max(values)
    margin = (ceiling - floor or abs(ceiling) or 1.0) * 0.08
    floor, ceiling = floor - margin, ceiling + margin

    def x(cost: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(cost / low) / math.log(high / low)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (ceiling - value) / (ceiling - floor)

    parts = [
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{TOP - 14}">{escape(axis)}</text>',
    ]
    for step in range(5):
        value, cost = floor + (ceiling - floor) * step / 4, low * (high / low) ** (step / 4)
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3f}</text>')
        parts.append(f'<text x="{x(cost):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{cost:.3g}</text>')
    line = "L".join(f"{x(costs[n]):.1f} {y(values[n]):.1f}" for n in front(costs, values))
    parts.append(f'<path d="M{line}" fill="none" stroke="#bbb" stroke-dasharray="4 3"/>')
    for row, cost, value in zip(rows, costs, values, strict=True):
        trained = f", trained for {row['finetune_epochs']}" if row["finetune_epochs"] else ""
        ring = f'stroke="#333" stroke-width="{1.5 if trained else 0}"'
        parts.append(
            f'<circle cx="{x(cost):.1f}" cy="{y(value):.1f}" r="5" fill="{_colour(row)}" {ring}>'
            f"<title>{escape(row['name'] + trained)}: {cost:.3g}, {value:.4f}</title></circle>"
        )
    return "".join(parts)


def _colour(row: dict) -> str:
    """Return the colour of the family of a chain's first method."""
    first = row["name"].split("+")[0].split(":")[0]
    return next((colour for colour, names in FAMILIES.values() if first in names), "#999999")
