"""Plots for plotly.js as plain dictionaries: colours, axes and the marks of each group.

A dictionary is what the page holds, so that nothing is drawn, or imported, to write a report.
"""

import html
import math

# The colours of Okabe and Ito, which colour-blind people tell apart too; its yellow is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F3F")
DASHES = ("solid", "dash", "dot", "dashdot")
# One fewer than colours, so that a colour comes again with another symbol.
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down")
_GREY = "#DDDDDD"
WIDTH = 900


def name_of(text: str) -> str:
    """Return a name that plotly.js shows as it is, since it takes some tags for styles and links."""
    return html.escape(text, quote=False)


def colour(position: int) -> str:
    """Return the colour of a group."""
    return COLOURS[position % len(COLOURS)]


def dash(position: int) -> str:
    """Return the dashes of a group's lines, which change where colours come again."""
    return DASHES[position // len(COLOURS) % len(DASHES)]


def marker(position: int, size: int = 9) -> dict:
    """Return the marker of a group."""
    return {"color": colour(position), "symbol": SYMBOLS[position % len(SYMBOLS)], "size": size}


def axis(title: str, **more) -> dict:
    """Return an axis with its title and light lines."""
    lines = {"gridcolor": _GREY, "linecolor": "#888888", "zerolinecolor": "#888888", "ticks": "outside"}
    return {"title": {"text": title, "standoff": 10}, "automargin": True, **lines, **more}


def layout(height: int, **more) -> dict:
    """Return what all plots share: white, of one width, the legend below."""
    return {
        "width": WIDTH,
        "height": height,
        "font": {"family": "sans-serif", "size": 13, "color": "#222222"},
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "margin": {"l": 60, "r": 20, "t": 36, "b": 50},
        "legend": {"orientation": "h", "x": 0, "y": -0.24, "yanchor": "top"},
        **more,
    }


def scale_of(values: list[float]) -> dict:
    """Return the settings of a logarithmic axis if the values lie far apart; nothing otherwise, for a plain one."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) <= 8 * min(positive):
        return {}
    powers = range(math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))) + 1)
    # Else plotly.js shows the 2 of 200 alone.
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "tickformat": ",~s", "minor": {"ticks": ""}}
