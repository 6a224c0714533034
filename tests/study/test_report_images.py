"""SVG files of plots: drawn where kaleido and a browser are there, and one line that says why not elsewhere."""

import sys
from types import ModuleType
from xml.etree import ElementTree

import pytest

from recbole_mpo.common.errors import DependencyError
from recbole_mpo.study.report_images import draw_svgs

PLOTS = [
    {"data": [{"type": "scatter", "x": [1, 2], "y": [3, 4]}], "layout": {"width": 300, "height": 200}},
    {"data": [{"type": "heatmap", "z": [[1, 2], [3, 4]]}], "layout": {"width": 310, "height": 200}},
]


class FakeBrowser:
    """Stands for kaleido's, which draws ``image`` or fails with ``problem``."""

    image, problem = b"<svg></svg>", None

    def __init__(self, **settings):
        self.settings = settings

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def calc_fig(self, plot, opts):
        if self.problem:
            raise self.problem
        assert self.settings["mathjax"] is False and opts == {"format": "svg"}
        return self.image


@pytest.fixture
def browser(monkeypatch):
    """The class that stands for kaleido's."""
    module = ModuleType("kaleido")
    module.Kaleido = type("Browser", (FakeBrowser,), {})
    monkeypatch.setitem(sys.modules, "kaleido", module)
    return module.Kaleido


def test_without_kaleido_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(DependencyError, match=r"^kaleido is not installed \(pip install 'recbole-mpo\[report\]'\)$"):
        draw_svgs(PLOTS)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (RuntimeError("no Chrome\nfound"), "no Chrome"),
        (TimeoutError(), "TimeoutError"),
        (OSError(28, "No space"), "28"),
    ],
)
def test_whatever_fails_is_one_line(browser, problem, reason):
    browser.problem = problem
    with pytest.raises(DependencyError, match=f"^kaleido cannot draw: .*{reason}") as caught:
        draw_svgs(PLOTS)
    assert "\n" not in str(caught.value)


def test_names_drawn_by_chance_are_replaced(browser):
    browser.image = b'<svg><defs id="defs-23ea79"><g id="clip23ea79x"/></defs><path fill="#23ea78"/></svg>'
    assert draw_svgs(PLOTS[:1]) == [
        b'<svg><defs id="defs-report"><g id="clipreportx"/></defs><path fill="#23ea78"/></svg>'
    ]


@pytest.mark.slow
def test_kaleido_draws_the_same_file_twice():
    """Also inside a running event loop, as in a notebook."""
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    try:
        first = draw_svgs(PLOTS)
    except DependencyError as problem:
        pytest.skip(str(problem))
    assert [ElementTree.fromstring(image).get("width") for image in first] == ["300", "310"]

    async def inside():
        return draw_svgs(PLOTS)

    import asyncio

    assert asyncio.run(inside()) == first
