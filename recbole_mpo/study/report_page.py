"""A report as one HTML page that needs no network: tables that sort on a click, and plots of plotly.js."""

import json
from collections.abc import Sequence
from pathlib import Path

import markdown
from plotly.offline import get_plotlyjs

from recbole_mpo.common.page import PLOT_SETTINGS, write_page
from recbole_mpo.common.terminal import one_line, printable
from recbole_mpo.study.report_parts import Part, Picture, Section, Shown, Table

_STYLE = """
body { max-width: 74em; line-height: 1.4 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2em; font-size: 1.25em }
nav ul { columns: 3 20em; padding-left: 1.2em }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9em; font-variant-numeric: tabular-nums }
td, th { padding: .25em .6em; vertical-align: top } tbody tr:nth-child(even) { background: #f5f7f9 }
thead th { border-bottom: 2px solid #888; vertical-align: bottom }
.words { min-width: 6em } .number { text-align: right; white-space: nowrap }
.marked { font-weight: bold }
th button { all: unset; cursor: pointer; font-weight: bold } th button:focus-visible { outline: 2px solid #0072B2 }
th[aria-sort=ascending] button::after { content: " \\25B2" }
th[aria-sort=descending] button::after { content: " \\25BC" }
.note { color: #555; max-width: 60em }
"""
# Numbers are sorted with the largest first, words from a to z; a second click turns them round. Blanks stay last.
_SCRIPT = """
const valueOf = (row, at) => {
  const cell = row.cells[at];
  return "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), "en", {numeric: true});
const sortBy = (head) => {
  const table = head.closest("table"), at = head.cellIndex, rows = [...table.tBodies[0].rows];
  const first = rows.some((row) => "order" in row.cells[at].dataset) ? "descending" : "ascending";
  const turned = {ascending: "descending", descending: "ascending"}[head.getAttribute("aria-sort")];
  const way = turned || first, sign = way === "ascending" ? 1 : -1;
  const isBlank = (row) => row.cells[at].textContent === "";
  rows.sort((a, b) => isBlank(a) - isBlank(b) || sign * compare(valueOf(a, at), valueOf(b, at)));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  table.tBodies[0].append(...rows);
};
for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sortBy(button.closest("th")));
const plots = JSON.parse(document.getElementById("plots").textContent);
for (const [id, plot] of Object.entries(plots)) Plotly.newPlot(id, plot.data, plot.layout, settings);
"""
_SETTINGS = json.dumps({**PLOT_SETTINGS, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]})
_BODY = """<style>{{ style | safe }}</style>
<nav><ul>{% for part in parts %}<li><a href="#part{{ loop.index }}">{{ part.title }}</a></li>{% endfor %}</ul></nav>
{% for part in parts %}<section><h2 id="part{{ loop.index }}">{{ part.title }}</h2>
{% if part.plot_id %}<div id="{{ part.plot_id }}" class="plot"></div>
<p class="note">Data: <a href="{{ part.data }}">{{ part.data }}</a></p>{% endif %}
{% if part.table %}<div class="wide"><table><thead><tr>{% for name, kind in part.heads -%}
<th class="{{ kind }}"><button type="button">{{ name }}</button></th>{% endfor %}</tr></thead>
<tbody>{% for row in part.rows %}<tr{% if loop.index0 == part.table.marked %} class="marked"{% endif %}>
{%- for cell in row -%}
<td class="{{ cell.kind }}"{% if cell.order is not none %} data-order="{{ cell.order }}"{% endif %}>{{ cell.text }}</td>
{%- endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% for note in part.notes %}<p class="note">{{ note }}</p>{% endfor %}
{{ part.text | safe }}</section>
{% endfor %}<script>{{ plotly | safe }}</script>
<script type="application/json" id="plots">{{ plots | safe }}</script>
<script>{{ script | safe }}</script>"""


def write_report_page(path: Path, title: str, parts: Sequence[Part]):
    """Write the page of a report, whole or not at all.

    Args:
        path: the file.
        title: plain text, for the window and the heading.
        parts: what stands below, in order.

    Raises:
        DataError: the page cannot be written, or would replace a file that is not such a page.
    """
    shown = [_shown_part(part) for part in parts]
    plots = {_plot_id(part): _for_page(part.plot) for part in parts if isinstance(part, Picture)}
    write_page(
        path,
        one_line(title),
        _BODY,
        style=_STYLE,
        script=f"const settings = {_SETTINGS};{_SCRIPT}",
        parts=shown,
        plotly=get_plotlyjs(),
        # No text of a plot can end the script.
        plots=json.dumps(plots, allow_nan=False).replace("<", "\\u003c"),
    )


def _plot_id(part: Picture) -> str:
    return f"plot-{part.name}"


def _for_page(plot: dict) -> dict:
    """Return a plot that is as wide as the page."""
    return {**plot, "layout": {name: value for name, value in plot["layout"].items() if name != "width"}}


def _shown_part(part: Part) -> dict:
    if isinstance(part, Section):
        return {"title": one_line(part.title), "text": as_html(printable(part.text))}
    shown = {"title": one_line(part.title), "notes": [one_line(note) for note in part.notes], "text": ""}
    if isinstance(part, Picture):
        shown |= {"plot_id": _plot_id(part), "data": f"figures/{part.name}.csv"}
    table = part if isinstance(part, Table) else part.table
    if table:
        kinds = ["words" if name in table.words else "number" for name in table.columns]
        rows = [[_shown_cell(*pair) for pair in zip(row, kinds, strict=True)] for row in table.rows]
        heads = [(one_line(name), kind) for name, kind in zip(table.columns, kinds, strict=True)]
        shown |= {"table": table, "heads": heads, "rows": rows}
    return shown


def _shown_cell(cell: Shown, kind: str) -> dict:
    # As JavaScript reads numbers.
    order = None if cell.order is None else repr(cell.order).replace("inf", "Infinity")
    return {"text": one_line(cell.text), "order": order, "kind": kind}


def as_html(text: str) -> str:
    """Return Markdown as HTML; tags in it are shown as they are written, so that no text adds markup of its own."""
    converter = markdown.Markdown(extensions=["tables", "fenced_code"])
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    return converter.convert(text)
