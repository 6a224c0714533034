"""The house: every room has a face and a paragraph, files and functions stay short, and tests mirror the package."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "recbole_mpo"
ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))
LONGEST_FILE, LONGEST_FUNCTION = 320, 45


def name_of(path):
    return str(path.relative_to(PACKAGE))


def test_there_are_ten_rooms():
    rooms = {path.name for path in ROOMS if path.parent == PACKAGE}
    assert rooms == set("cli common data layers model quick_start release study text trainer".split())


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_says_what_it_is_for_and_what_it_may_import(room):
    paragraph = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert len(paragraph.split()) >= 20 and re.search(r"\bimports?\b", paragraph)


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_face_exports_what_is_there(room):
    face = importlib.import_module(".".join(("recbole_mpo", *room.relative_to(PACKAGE).parts)))
    for name in getattr(face, "__all__", ()):
        assert getattr(face, name).__doc__ or not callable(getattr(face, name)), name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_one_idea_in_short_functions(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < LONGEST_FILE
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the file says nothing of itself"
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = {node.name for node in functions if node.end_lineno - node.lineno + 1 >= LONGEST_FUNCTION}
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_its_tests(path):
    mirror = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.name}"
    assert mirror.is_file(), f"{mirror.relative_to(ROOT)} is missing"


def test_no_module_name_stands_twice_in_neighbouring_rooms():
    """But for what a command and its room share, and for the one face of each."""
    names = {}
    for path in MODULES:
        names.setdefault(path.name, []).append(name_of(path))
    twins = {name: places for name, places in names.items() if len(places) > 1}
    assert not twins


def test_rooms_import_only_from_rooms_below():
    """As pyproject.toml tells import-linter; `make lint` runs the same."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_users_import():
    from recbole_mpo.layers.mpo import MPOLinear
    from recbole_mpo.quick_start import recorded_run, run

    assert MPOLinear(4, 6, num_cores=1).num_cores == 1
    # No function hides the module beside it.
    assert run is recorded_run.run
