"""The two halves of the data room meet in file formats alone."""

import ast
import subprocess
import sys
from pathlib import Path

import recbole_mpo.data

ROOM = Path(recbole_mpo.data.__file__).parent
FORMATS = {"atomic_files", "exact_times", "histories", "domain_ids", "statistics", "sequences", "shard_manifest"}


def modules_imported_by(path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in imports if isinstance(node, ast.ImportFrom)}


def test_nothing_of_the_reading_half_imports_prepare():
    strays = {path.name for path in ROOM.glob("*.py") if any(".prepare" in name for name in modules_imported_by(path))}
    assert strays == set()


def test_prepare_imports_of_the_reading_half_what_defines_the_format():
    modules = set().union(*(modules_imported_by(path) for path in (ROOM / "prepare").glob("*.py")))
    of_room = {name.removeprefix("recbole_mpo.data.") for name in modules if name.startswith("recbole_mpo.data.")}
    assert {name for name in of_room if not name.startswith("prepare")} <= FORMATS


def test_preparing_loads_neither_recbole_nor_torch():
    code = "import sys, recbole_mpo.data.prepare, recbole_mpo.text; assert not {'recbole', 'torch'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOM.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
