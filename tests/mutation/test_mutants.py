"""The faults that are put into the package, and that its tests notice all but those explained in README.md."""

import ast
import sys
from textwrap import dedent

import pytest
from mutation.mutants import Faults, Mutant, sample, sample_of_all
from mutation.run import ROOMS, ROOT, Workers, calls_of, fates_of, listed_survivors, table
from mutation.tests_of import calling_tests, function_around, mirrored_tests, other_tests

PACKAGE = ROOT / "recbole_mpo"


def faults(source: str) -> set[str]:
    """Return the faults of a source, each as the text it leaves of what it changes."""
    return {f"{mutant.before} -> {mutant.after}" for mutant in Faults("m.py", dedent(source).encode()).all()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a < b -> (a <= b)"}),
        ("a < b <= c", {"a < b <= c -> (a <= b <= c)", "a < b <= c -> (a < b < c)"}),
        ("a is None", {"a is None -> (a is not None)"}),
        ("a + b", {"a + b -> (a - b)"}),
        ("a and b", {"a and b -> (a or b)"}),
        ("not a", {"not a -> a"}),
        ("-a", {"-a -> a"}),
        ("x = 2", {"2 -> 3", "2 -> 1"}),
        ("x = 0.0", {"0.0 -> 1.0"}),
        ("x = 4096", set()),
        ("x = True", {"True -> False"}),
        ("x = y.detach()", {"y.detach() -> y"}),
        ("x = sorted(y)", {"sorted(y) -> y"}),
        ("x = max(y)", {"max(y) -> min(y)"}),
        ("x = y.any()", {"y.any() -> y", "y.any() -> y.all()"}),
        ("x = f(a, b, c)", {"f(a, b, c) -> f(b, a, c)"}),
        ("x = f(a, b=c)", {"f(a, b=c) -> f(a)"}),
        ("if a: f()", {"a -> (not a)", "f() -> pass"}),
        ("x = a if b else c", {"b -> (not b)"}),
        ("x = [a for a in b if a]", {"a -> (not a)"}),
        ("def f(): return a", {"return a -> return None"}),
        ("def f(a=True): return", {"True -> False"}),
        ("x.y = a", {"x.y = a -> pass"}),
        ("x = x.y", {"x = x.y -> pass"}),
        ("x += a", {"x += a -> pass", "x += a -> x -= a"}),
        ("for a in b: continue", {"continue -> pass"}),
        ("raise E(1 + 2)", {"raise E(1 + 2) -> pass"}),
    ],
)
def test_faults_of_each_kind(source, expected):
    assert faults(source) == expected


def test_what_nobody_computes_with_is_left_alone():
    source = '''
    """A text with 1 + 2."""
    from a import b
    __all__ = sorted(["b"])
    def f(a: int | None, b: Literal[1] = b) -> tuple[1]:
        """Return 1 + 2."""
        logger.info("%d of %d", 1 + 2, max(a))
        warnings.warn(f"{1 + 2}", stacklevel=2)
        c: int | str = a
        d = f"{a + 1}"
        assert a == 1
        if isinstance(a, int | str):
            d = zip(a, strict=True)
    '''
    assert faults(source) == {
        "isinstance(a, int | str) -> (not isinstance(a, int | str))",
    }


def test_a_fault_is_put_in_its_place_whatever_the_letters_before_it():
    source = 'x = "äöü", [a\n+ b]\n'.encode()
    (mutant,) = Faults("m.py", source).all()
    assert mutant.apply(source).decode() == 'x = "äöü", [(a - b)]\n'
    assert (mutant.line, mutant.key) == (1, 'm.py: x = "äöü", [(a - b)]')


def test_a_deleted_statement_is_named_by_what_it_was():
    (mutant,) = Faults("m.py", b"if a:\n    raise E\n").all()[1:]
    assert mutant.key == "m.py: raise E -> pass"


def test_a_sample_is_that_of_its_seed_and_even_over_kinds():
    source = b"x = [1, 2, 3, 4, 5]\ny = a < b\nz = a + b\n"
    chosen = sample("m.py", source, 3, seed=1)
    assert {mutant.operator for mutant in chosen} == {"constant", "comparison", "arithmetic"}
    assert chosen == sample("m.py", source, 3, seed=1) != sample("m.py", source, 3, seed=2)
    assert len(sample("m.py", source, 99, seed=1)) == len(set(sample("m.py", source, 99, seed=1))) == 12


def test_what_python_cannot_compile_is_no_fault():
    source = b"def f():\n    global a\n    return (yield a)\n"
    for mutant in sample("m.py", source, 9, seed=0):
        compile(mutant.apply(source), "m.py", "exec")


def test_every_beginning_of_the_sample_is_one_of_all_modules():
    mutants = sample_of_all(PACKAGE, ROOMS, 35, seed=0)
    modules = {path for room in ROOMS for path in (PACKAGE / room).rglob("*.py") if path.name != "__init__.py"}
    assert {PACKAGE / mutant.module for mutant in mutants} == modules
    for room in ROOMS:
        share = sum(mutant.module.startswith(f"{room}/") for mutant in mutants) / len(mutants)
        half = mutants[: len(mutants) // 2]
        assert sum(mutant.module.startswith(f"{room}/") for mutant in half) / len(half) == pytest.approx(share, abs=0.1)


def test_tests_of_a_module():
    assert mirrored_tests(ROOT, "model/baselines/ccdr.py") == [
        f"tests/model/baselines/{name}.py" for name in ("test_ccdr", "test_ccdr_domains")
    ]
    others = other_tests(ROOT, "layers/losses.py")
    assert "tests/layers/test_losses.py" not in others and "tests/layers/test_adaptor.py" in others
    assert not [test for test in others if test.startswith("tests/data/")]


def test_tests_that_call_a_function():
    source = (PACKAGE / "layers" / "losses.py").read_bytes()
    (unit,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "unit")
    assert function_around(ast.parse(source), unit.lineno + 1) == range(unit.lineno, unit.end_lineno + 1)
    others = other_tests(ROOT, "layers/losses.py")
    calls = {test: {"layers/losses.py": []} for test in others}
    calls[others[3]] = {"layers/losses.py": [unit.lineno]}
    in_unit = Mutant("layers/losses.py", "deleted", unit.end_lineno, 0, 0, "", "", "")
    assert calling_tests(ROOT, in_unit, calls) == [others[3]]
    at_import = Mutant("layers/losses.py", "constant", 1, 0, 0, "", "", "")
    assert calling_tests(ROOT, at_import, calls) == others


def test_a_table_counts_the_last_fates():
    fates = [{"module": "data/a.py", "fate": fate} for fate in ("killed", "survived", "killed", "timed out")]
    lines = table(fates).splitlines()
    assert lines[4].split() == ["data", "4", "2", "1", "1"] and lines[5].split() == ["all", "4", "2", "1", "1"]


def test_the_list_of_survivors_is_read_as_it_is_written(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("# Title\n\n- `data/a.py: a < b -> (a <= b)`: both are `b`\n- other\n", encoding="utf-8")
    assert listed_survivors(page) == {"data/a.py: a < b -> (a <= b)"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="it forks")
def test_the_first_of_the_sample_are_noticed_or_explained():
    """The whole sample takes more than an hour; run.py goes through it."""
    mutants = sample_of_all(PACKAGE, ROOMS, 35, seed=0)[:40]
    last = {}
    with Workers(2, minutes=50) as workers:
        calls = calls_of(mutants, workers, 600.0)
        for fate in fates_of(mutants, workers, (150.0, 600.0), calls):
            last[fate["module"], fate["start"], fate["after"]] = fate
    left = {fate["key"] for fate in last.values() if fate["fate"] == "survived"}
    assert len(last) == len(mutants) and not left - listed_survivors()
