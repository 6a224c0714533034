"""A copy of the tree in which one mutant at a time stands, and forked processes that test it.

A process that has imported what the package imports, and nothing of the package, forks for each run of tests: two
seconds less than a new one takes.
"""

import ast
import compileall
import difflib
import importlib
import json
import os
import py_compile
import resource
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from mutation.mutants import Mutant

LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "site", "build", "log", "log_tensorboard", "saved")
MEMORY = 12 << 30
# pytest's exit codes where nothing fails: all passed, or all were left out by their marks.
PASSED = (0, 5)
# Exit codes that pytest does not have.
FAILED, WRONG_COPY = 70, 71


def foreign_modules(root: Path) -> list[str]:
    """Return the modules of other packages that the package and its tests import."""
    names = set()
    for folder in ("recbole_mpo", "tests"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names.add(node.module)
    own = {"recbole_mpo", *(path.stem for path in (root / "tests").iterdir())}
    return sorted(name for name in names if name.split(".")[0] not in own)


def warm_up(root: Path):
    """Import what the package and its tests import, and nothing of the package."""
    for name in foreign_modules(root):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    import torch

    # One of RecBole's models turns it on at import.
    torch.autograd.set_detect_anomaly(False)
    torch.set_num_threads(1)
    assert not [name for name in sys.modules if name.split(".")[0] == "recbole_mpo"]


class Bench:
    """One copy of the tree, in which one mutant at a time stands."""

    def __init__(self, root: Path, folder: Path):
        self.root, self.tree, self.temporary = root, folder / "tree", folder / "tmp"
        shutil.copytree(root, self.tree, ignore=LEFT_OUT)
        # By their hash: a mutant may have the size and the second of what it replaces.
        compileall.compile_dir(
            self.tree / "recbole_mpo", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
        )
        os.chdir(self.tree)
        os.environ["PYTHONPATH"] = str(self.tree)
        sys.path[:] = [str(self.tree), *(entry for entry in sys.path if Path(entry or ".").resolve() != root)]

    def fate(self, mutant: Mutant, stage: str, tests: list[str], timeout: float) -> dict:
        """Return what became of a mutant: killed, survived or timed out."""
        path = self.tree / "recbole_mpo" / mutant.module
        source = path.read_bytes()
        began = time.monotonic()
        try:
            path.write_bytes(mutant.apply(source))
            fate = self.run(tests, timeout) if tests else "survived"
        finally:
            path.write_bytes(source)
        seconds = round(time.monotonic() - began, 1)
        lines = [text.decode().splitlines() for text in (source, mutant.apply(source))]
        diff = "\n".join(list(difflib.unified_diff(*lines, lineterm="", n=1))[2:])
        return {"key": mutant.key, "stage": stage, "fate": fate, "seconds": seconds, **asdict(mutant), "diff": diff}

    def calls(self, test: str, timeout: float) -> dict:
        """Return the functions of the package that a test file calls, file to first lines; None if the test fails."""
        place = self.temporary.with_name("calls.json")
        passed = self.run([test], timeout, place) == "survived"
        return {"test": test, "calls": json.loads(place.read_text(encoding="utf-8")) if passed else None}

    def run(self, tests: list[str], timeout: float, calls_file: Path | None = None) -> str:
        """Run test files in a forked process, as long as none of them fails."""
        child = os.fork()
        if child == 0:
            os.setsid()
            self._run_here(tests, calls_file)
        fate = wait_for(child, timeout)
        shutil.rmtree(self.temporary, ignore_errors=True)
        return fate

    def _run_here(self, tests, calls_file):
        code = FAILED
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--timeout=0", "--capture=sys"]
            with calls_written(calls_file, self.tree / "recbole_mpo"):
                code = pytest.main([*options, f"--basetemp={self.temporary}", *tests])
            package = sys.modules.get("recbole_mpo")
            if code == 0 and package and not Path(package.__file__).is_relative_to(self.tree):
                code = WRONG_COPY
        finally:
            os._exit(int(code))


@contextmanager
def calls_written(path: Path | None, package: Path):
    """Write which functions of the package are called meanwhile."""
    if path is None:
        yield
        return
    calls, prefix = {}, f"{package}/"

    def note(frame, event, argument):
        name = frame.f_code.co_filename
        if name.startswith(prefix):
            calls.setdefault(name.removeprefix(prefix), set()).add(frame.f_code.co_firstlineno)

    sys.settrace(note)
    threading.settrace(note)
    try:
        yield
    finally:
        sys.settrace(None)
        path.write_text(json.dumps({name: sorted(lines) for name, lines in calls.items()}), encoding="utf-8")


def wait_for(child: int, timeout: float) -> str:
    """Wait for a process; return survived (its tests passed), killed or timed out. End it and what it started."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            end_group(child)
            code = os.waitstatus_to_exitcode(status)
            if code == WRONG_COPY:
                raise RuntimeError("the tests imported another copy of recbole_mpo")
            return "survived" if code in PASSED else "killed"
        time.sleep(0.02)
    end_group(child)
    os.waitpid(child, 0)
    return "timed out"


def end_group(leader: int):
    """End a process and all that it started."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass
