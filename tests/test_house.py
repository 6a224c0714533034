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
# A function's docstring begins with a verb in the imperative, so not with one of these.
NO_VERBS = set(
    "a all an any are as at both by each every for from how if in is it its n no none of on one per recbole recbole's "
    "some that the their there these this to what when where whether which who whose with "
    "gives identifies makes reads returns says tries writes yields "
    "data input installed index module output text trainable user users".split()
)
# Phrases that are odd to readers of plain English: "is not", "dataset", "replaces", "per user", "fix", "again", "also".
ODD_PHRASES = re.compile(
    r"\b(data sets?|(takes?|took|in) the place of|(?<!there )is no (?!longer\b)|interactions an? (user|item)|"
    r"what (came|comes) of|mend(s|ed|ing)?|as ever|for lack of|nothing stands|besides|anew|thereof|hence)\b",
    flags=re.IGNORECASE,
)
PROSE = sorted(
    path
    for place, suffix in (("recbole_mpo", "py"), ("properties", "yaml"), ("docs", "md"))
    for path in (ROOT / place).rglob(f"*.{suffix}")
)


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
def test_function_docstrings_begin_with_a_verb(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if is_function(node)]
    docstrings = {f"{node.name}, line {node.lineno}": ast.get_docstring(node) for node in functions}
    first_words = {place: text.split()[0].strip(".,:;").lower() for place, text in docstrings.items() if text}
    assert not {place: word for place, word in first_words.items() if word in NO_VERBS}


def is_function(node) -> bool:
    """Whether a node is a function; a property is a value, which its docstring names."""
    kinds = {getattr(decorator, "id", "") for decorator in getattr(node, "decorator_list", ())}
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not kinds & {"property", "cached_property"}


@pytest.mark.parametrize("path", [*PROSE, ROOT / "README.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_plain(path):
    text = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split())
    odd = [text[max(0, match.start() - 40) : match.end() + 20] for match in ODD_PHRASES.finditer(text)]
    assert not odd


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
