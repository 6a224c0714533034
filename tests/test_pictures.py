"""The pictures of the documentation: drawn from what happened, whole, and asking nothing of other hosts."""

import re
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PICTURES = sorted((ROOT / "docs" / "images").glob("*.svg"))


@pytest.fixture(scope="module")
def recorder():
    return runpy.run_path(str(ROOT / "docs" / "record_demo.py"))


def texts(svg):
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_well_formed_and_stands_alone(path):
    svg = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(svg).get("viewBox") and texts(svg)
    addresses = set(re.findall(r"https?://[^\"'\s)]+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_the_recording_shows_the_demo_from_data_to_recommendations():
    shown = texts((ROOT / "docs" / "images" / "demo.svg").read_text(encoding="utf-8"))
    assert shown[0] == "$ recbole-mpo demo" and "recommended:" in shown
    assert [line[:1] for line in shown if re.match(r"\d\. ", line)] == ["1", "2", "3", "4"]
    assert sum(line.startswith("epoch ") for line in shown) == 10
    assert not any("\x1b" in line or "/tmp" in line or "Warning" in line for line in shown)


def test_what_a_command_leaves_on_a_terminal_is_recorded(recorder, capfd):
    code = r"print('\x1b[1mbold\x1b[0m'); print('50%\r100%', end='\r'); print('\x1b[Kdone …')"
    lines = recorder["record"]([sys.executable, "-c", code])
    assert [line for _, line in lines] == ["bold", "done …"]
    assert sorted(at for at, _ in lines) == [at for at, _ in lines]


def test_a_command_that_fails_is_not_recorded(recorder, capfd):
    with pytest.raises(SystemExit, match="ended with 3"):
        recorder["record"]([sys.executable, "-c", "raise SystemExit(3)"])


def test_pauses_are_shortened_and_the_order_kept(recorder):
    longest = recorder["shortened"].__globals__["LONGEST_PAUSE"]
    assert recorder["shortened"]([(0.1, "a"), (9.1, "b"), (9.2, "c")]) == [
        (0.1, "a"),
        (pytest.approx(0.1 + longest), "b"),
        (pytest.approx(0.2 + longest), "c"),
    ]


def test_lines_are_escaped_and_wrapped_at_the_width(recorder):
    shown = texts(recorder["picture"]("demo", [(1.0, "Cats & Dogs <1996>"), (2.0, ""), (2.0, "x" * 250)]))
    assert shown == ["$ demo", "Cats & Dogs <1996>", "", "x" * 100, "x" * 100, "x" * 50]
