"""The page of a report: one file, in a browser as on paper."""

import html
import json
import re

import pytest
from browser import find_browser, run_in_page
from report_runs import make_groups

from recbole_mpo.common.errors import DataError
from recbole_mpo.study.report import report_parts
from recbole_mpo.study.report_page import as_html, write_report_page
from recbole_mpo.study.report_parts import Picture, Section, Shown, Table
from recbole_mpo.study.report_rows import Results

TABLE = Table(
    "Sizes",
    ("model", "size"),
    (
        (Shown("b"), Shown("10", 10.0)),
        (Shown("a10"), Shown("9", 9.0)),
        (Shown("a9"), Shown("")),
        (Shown("c"), Shown("inf", float("inf"))),
    ),
    notes=("p < 0.05",),
    marked=1,
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    results = Results.of(make_groups(tmp_path_factory.mktemp("runs")), 0, ["hit@10", "ndcg@10"], False)
    return [TABLE, *report_parts(results), Section("Claims", "- **one**: <img src=http://127.0.0.1:9/x>")]


@pytest.fixture(scope="module")
def page(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report_page(path, "Ten <runs>", parts)
    return path


class TestText:
    def test_plotly_stands_in_it_once_and_all_parts_are_linked(self, page, parts):
        text = page.read_text(encoding="utf-8")
        assert text.count("<script>/**\n* plotly.js v") == 1
        links = re.findall(r'<a href="#(part\d+)">(.*?)</a>', text)
        assert [html.unescape(title) for _, title in links] == [part.title for part in parts]
        assert all(f'id="{place}"' in text for place, _ in links)

    def test_nothing_outside_of_plotly_names_another_file_but_the_data(self, page):
        text = re.sub(r"<script>/\*\*\n\* plotly.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert set(re.findall(r'(?:src|href)="([^#"]*)', text)) == {
            "", *(f"figures/{name}.csv" for name in PICTURES)
        }  # fmt: skip

    def test_texts_cannot_become_markup(self, tmp_path):
        hostile = "</script><script>alert(1)</script>"
        plot = {"data": [{"type": "scatter", "name": hostile, "x": [1], "y": [1]}], "layout": {}}
        parts = [
            Table(hostile, (hostile,), ((Shown(hostile),),), notes=(hostile,)),
            Picture("p", hostile, ({"a": 1},), plot, (hostile,)),
            Section(hostile, hostile),
        ]
        write_report_page(tmp_path / "page.html", hostile, parts)
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "<script>alert" not in text
        held = re.search(r'<script type="application/json" id="plots">(.*?)</script>', text)[1]
        assert json.loads(held)["plot-p"]["data"] == plot["data"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("| a | b |\n| --- | ---: |\n| 1 | 2 |", "<table>"),
            ("- **one**", "<strong>one</strong>"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            ("a <b>c</b>", "a &lt;b&gt;c&lt;/b&gt;"),
            ("<!-- x -->", "&lt;!-- x"),
        ],
    )
    def test_sections_are_markdown_without_tags_of_their_own(self, text, expected):
        assert expected in as_html(text)

    def test_a_file_of_somebody_else_is_not_replaced(self, tmp_path):
        (tmp_path / "report.html").write_text("mine")
        with pytest.raises(DataError, match="was not written by this package"):
            write_report_page(tmp_path / "report.html", "t", [TABLE])


PICTURES = ("differences", "quality_parameters", "quality_seconds", "quality_memory", "training")
PICTURES += ("by_popularity", "by_history_length", "overlap")
SCRIPT = """
const table = document.querySelector("table");
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
const click = (at) => { table.querySelectorAll("th button")[at].click(); return order(); };
const sorted = [order(), click(1), click(1), click(0), click(0)];
const arrows = [...table.querySelectorAll("th")].map((head) => head.getAttribute("aria-sort"));
const heads = [...document.querySelectorAll("table")].map((one) => one.querySelectorAll("th button").length);
const marks = {};
for (const plot of document.querySelectorAll(".plot")) {
  const sizes = [...plot.querySelectorAll(".main-svg")].map((svg) => svg.getBoundingClientRect().width);
  const drawn = plot.querySelectorAll(".scatterlayer .points path, .scatterlayer .js-line, .heatmaplayer image");
  marks[plot.id] = [Math.max(...sizes), drawn.length];
}
const before = findings.forbidden.length;
const tried = await fetch("http://127.0.0.1:9/x").then(() => "sent", () => "refused");
const images = document.querySelectorAll("section:last-of-type img").length;
const buttons = [...document.querySelectorAll(".modebar-btn")].map((button) => button.dataset.title);
return {sorted, arrows, heads, marks, before, tried, images, buttons: [...new Set(buttons)]};
"""


@pytest.fixture(scope="module")
def findings(page, tmp_path_factory):
    find_browser()
    return run_in_page(page, SCRIPT, tmp_path_factory.mktemp("browser"))


class TestBrowser:
    def test_tables_sort_on_a_click(self, findings):
        answer = findings["answer"]
        assert answer["sorted"] == [
            ["b", "a10", "a9", "c"],
            ["c", "b", "a10", "a9"],
            ["a10", "b", "c", "a9"],
            ["a9", "a10", "b", "c"],
            ["c", "b", "a10", "a9"],
        ]
        assert answer["arrows"] == ["descending", None] and 0 not in answer["heads"]

    def test_plots_are_drawn_over_the_width_of_the_page(self, findings):
        marks = findings["answer"]["marks"]
        assert list(marks) == [f"plot-{name}" for name in PICTURES]
        for name, (width, drawn) in marks.items():
            assert width > 900 and drawn > 0, name

    def test_nothing_is_requested_and_nothing_can_be(self, findings):
        assert findings["requests"] == [] and findings["errors"] == []
        assert findings["answer"]["before"] == 0 and findings["answer"]["images"] == 0
        assert findings["answer"]["tried"] == "refused" and findings["forbidden"] == ["http://127.0.0.1:9/x"]

    def test_no_button_sends_a_plot_anywhere(self, findings):
        buttons = findings["answer"]["buttons"]
        assert "Download plot as a PNG" in buttons and "Share chart..." not in buttons
