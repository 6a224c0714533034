"""Which tests may notice a fault in a module: those of its name, then those that call the changed function."""

import ast
from pathlib import Path

from mutation.mutants import Mutant

# They look at the tree, not at what a module computes.
OF_THE_TREE = {f"tests/test_{name}.py" for name in "cuda docs house notebooks packaging pictures settings_use".split()}


def mirrored_tests(root: Path, module: str) -> list[str]:
    """Return the test files of a module: ``test_<module>.py``, and those whose names go on from there."""
    path = Path(module)
    folder = root / "tests" / path.parent
    return [str(test.relative_to(root)) for test in sorted(folder.glob(f"test_{path.stem}*.py"))]


def other_tests(root: Path, module: str) -> list[str]:
    """Return the other tests that may notice: those that name the module, then those of its room."""
    room, first = Path(module).parts[0], set(mirrored_tests(root, module))
    dotted = f"recbole_mpo.{module.removesuffix('.py').replace('/', '.')}"
    parent, name = dotted.rsplit(".", 1)
    naming, of_room = [], []
    for path in sorted((root / "tests").rglob("test_*.py")):
        test = str(path.relative_to(root))
        if test in first | OF_THE_TREE or test.startswith("tests/mutation/"):
            continue
        text = path.read_text(encoding="utf-8")
        from_parent = [line for line in text.split("\n") if line.startswith(f"from {parent} import")]
        if dotted in text or any(name in line for line in from_parent):
            naming.append(test)
        elif test.startswith(f"tests/{room}/"):
            of_room.append(test)
    return naming + of_room


def function_around(tree: ast.Module, line: int) -> range | None:
    """Return the lines of the outermost function that a line belongs to; None where it runs at import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            head = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if head <= line <= node.end_lineno:
                return range(head, node.end_lineno + 1)
    return None


def calling_tests(root: Path, mutant: Mutant, calls: dict[str, dict]) -> list[str]:
    """Return the other tests that call the function of a mutant; all of them for a line that runs at import.

    Args:
        root: the tree.
        mutant: the mutant.
        calls: for each test file that passes, the first lines of the functions that it calls, by module.
    """
    lines = function_around(ast.parse((root / "recbole_mpo" / mutant.module).read_bytes()), mutant.line)
    tests = [test for test in other_tests(root, mutant.module) if test in calls]
    if lines is None:
        return tests
    return [test for test in tests if set(calls[test].get(mutant.module, ())) & set(lines)]
