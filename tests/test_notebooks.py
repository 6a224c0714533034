"""The notebooks of examples/ run from the first cell to the last, and show what they gave."""

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NAMES = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def printed(notebook):
    """What each code cell of a notebook printed."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(output["output_type"] == "stream" for cell in cells for output in cell["outputs"])
    return ["".join("".join(output["text"]) for output in cell["outputs"]) for cell in cells]


def outline(text):
    """The text without what differs among machines and runs: numbers, run names, the length of an epoch's line."""
    lines = [re.sub(r"^epoch .*", "epoch", line) for line in text.splitlines()]
    return [re.sub(r"-\d{8}-\d{6}-\w{6}|\d[\d.,]*|\s+", " ", line).strip() for line in lines]


@NAMES
def test_a_notebook_shows_its_outputs_and_no_path_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    assert all(printed(json.loads(text)))
    assert not re.search(r"\"/(home|root|tmp|usr)|site-packages|Warning|\\u001b", text)


@NAMES
def test_a_notebook_runs_and_prints_what_it_shows(path, tmp_path):
    run_notebook = runpy.run_path(str(ROOT / "examples" / "run.py"))["run_notebook"]
    now, shown = printed(run_notebook(path, tmp_path)), printed(json.loads(path.read_text(encoding="utf-8")))
    assert list(map(outline, now))[:-2] == list(map(outline, shown))[:-2]
    # Which items come after the first ones, and the last digits, may differ among machines.
    assert "lamp-alba-4" in now[-2]
    merged, dense = (re.findall(r"\d\.\d{4}", line) for line in now[-1].splitlines())
    assert merged == dense
