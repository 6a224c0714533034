"""Small faults put into a module's source, one at a time: which there are, and a seeded sample of them.

Text that nobody's numbers depend on is left alone: docstrings, annotations, strings, logged lines, error messages.
"""

import ast
import copy
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# Calls of which the argument, or the object, is left when they are dropped.
FUNCTIONS = set("sorted abs list tuple set float int str bool reversed unit".split())
METHODS = set(
    "detach clone contiguous copy float double long to cpu type_as requires_grad_ eval train abs clamp clamp_ mean "
    "strip lstrip rstrip lower upper casefold removeprefix removesuffix resolve expanduser absolute squeeze flip t "
    "sort_values sort_index reset_index drop_duplicates dropna fillna astype any all tolist item view reshape "
    "transpose expand masked_fill masked_fill_ cumsum".split()
)
TWINS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
# One more or one less changes no size of a buffer or a chunk in a way that can be seen.
LARGEST_CONSTANT = 1000
# Without them the same is done on a processor, in a UTF-8 locale, with lists of equal lengths.
UNSEEN_KEYWORDS = {"device", "encoding", "stacklevel", "strict"}
SPOKEN = {"logger", "logging", "warnings", "print"}


@dataclass(frozen=True)
class Mutant:
    """A fault: bytes ``start`` to ``end`` of a module, ``before``, become ``after``; its line then reads ``result``."""

    module: str
    operator: str
    line: int
    start: int
    end: int
    before: str
    after: str
    result: str

    @property
    def key(self) -> str:
        """What names the fault though lines above it come and go."""
        is_whole = self.result == self.after
        return f"{self.module}: {f'{self.before} -> {self.after}' if is_whole else self.result}"

    def apply(self, source: bytes) -> bytes:
        """Return the source with the fault in it."""
        return source[: self.start] + self.after.encode() + source[self.end :]


class Faults:
    """All faults of a module."""

    def __init__(self, module: str, source: bytes):
        self.module, self.source = module, source
        lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))

    def all(self) -> list[Mutant]:
        """Return the faults, in the order of the source."""
        mutants = {}
        for node in self.places(ast.parse(self.source)):
            for operator, place, after in faults_of(node):
                mutant = self.mutant(operator, place, after)
                if mutant.before != mutant.after:
                    mutants.setdefault((mutant.start, mutant.end, mutant.after), mutant)
        return [mutants[place] for place in sorted(mutants)]

    def mutant(self, operator, node, after) -> Mutant:
        """Return the fault that puts ``after``, a node or text, where ``node`` is."""
        text = after if isinstance(after, str) else ast.unparse(after)
        if isinstance(after, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp | ast.IfExp):
            text = f"({text})"
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        before = " ".join(self.source[start:end].decode().split())
        line_start, line_end = self.starts[node.lineno - 1], self.starts[node.end_lineno]
        result = (self.source[line_start:start] + text.encode() + self.source[end:line_end]).decode()
        return Mutant(self.module, operator, node.lineno, start, end, before, text, " ".join(result.split()))

    def places(self, node) -> Iterator[ast.AST]:
        """Yield the nodes that may be changed, below ``node``."""
        for child in looked_at(node):
            yield child
            yield from self.places(child)


def compiles(source: bytes) -> bool:
    """Return whether Python takes the source."""
    try:
        compile(source, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def looked_at(node) -> list[ast.AST]:
    """Return the children of a node that matter to what the module computes."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert) or is_spoken(node):
        return []
    if isinstance(node, ast.Call) and name_of(node.func) in ("isinstance", "issubclass"):
        return [node.args[0]]
    if isinstance(node, ast.AnnAssign):
        return [node.value] if node.value is not None else []
    if isinstance(node, ast.Assign) and name_of(node.targets[0]) in ("__all__", "logger"):
        return []
    if isinstance(node, ast.FunctionDef):
        defaults = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
        return [*defaults, *node.body]
    if isinstance(node, ast.ClassDef):
        return list(node.body)
    if isinstance(node, ast.keyword) and node.arg in UNSEEN_KEYWORDS:
        return []
    return [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.arguments)]


def is_spoken(node) -> bool:
    """Return whether a statement is a docstring, or tells people something."""
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    return isinstance(node.value, ast.Call) and root_of(node.value.func) in SPOKEN


def name_of(node) -> str:
    """Return the last name of ``a.b.c``, or an empty string."""
    return getattr(node, "attr", getattr(node, "id", ""))


def root_of(node) -> str:
    """Return the first name of ``a.b.c``, or an empty string."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return getattr(node, "id", "")


def changed(node, **fields):
    """Return a copy of a node with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def faults_of(node) -> Iterator[tuple[str, ast.AST, ast.AST | str]]:
    """Yield (operator, place, what stands there instead)."""
    if isinstance(node, ast.stmt):
        yield from faults_of_statement(node)
    elif isinstance(node, ast.Call):
        yield from faults_of_call(node)
    elif isinstance(node, ast.Compare):
        for place, kind in enumerate(map(type, node.ops)):
            others = [*node.ops[:place], COMPARISONS[kind](), *node.ops[place + 1 :]]
            yield "comparison", node, changed(node, ops=others)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield "arithmetic", node, changed(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield "and_or", node, changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield "dropped", node, node.operand
    elif isinstance(node, ast.IfExp):
        yield "negated", node.test, ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.comprehension):
        yield from (("negated", test, ast.UnaryOp(ast.Not(), test)) for test in node.ifs)
    elif isinstance(node, ast.Constant):
        yield from faults_of_constant(node)


def faults_of_constant(node):
    """Yield a constant's neighbours."""
    if isinstance(node.value, bool):
        yield "boolean", node, ast.Constant(not node.value)
    elif isinstance(node.value, int | float) and abs(node.value) <= LARGEST_CONSTANT:
        yield "constant", node, ast.Constant(node.value + 1)
        if node.value:
            yield "constant", node, ast.Constant(node.value - 1)


def faults_of_statement(node):
    """Yield a statement deleted, a condition turned round, a result withheld."""
    if isinstance(node, ast.If | ast.While):
        yield "negated", node.test, ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Return) and node.value is not None and not is_none(node.value):
        yield "return_none", node, "return None"
    elif isinstance(node, ast.AugAssign):
        yield "deleted", node, "pass"
        if type(node.op) in ARITHMETIC:
            yield "arithmetic", node, changed(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.Raise | ast.Continue | ast.Break | ast.Delete):
        yield "deleted", node, "pass"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not is_spoken(node):
        yield "deleted", node, "pass"
    elif isinstance(node, ast.Assign) and is_deletable(node):
        yield "deleted", node, "pass"


def faults_of_call(node):
    """Yield a call dropped, its twin called, arguments swapped, a named one left out."""
    name = name_of(node.func)
    if isinstance(node.func, ast.Name) and name in FUNCTIONS and len(node.args) == 1:
        yield "dropped", node, node.args[0]
    if isinstance(node.func, ast.Attribute) and name in METHODS:
        yield "dropped", node, node.func.value
    if name in TWINS:
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield "twin", node, changed(node, func=changed(node.func, **{field: TWINS[name]}))
    if len(node.args) >= 2 and not any(isinstance(argument, ast.Starred) for argument in node.args[:2]):
        if name not in ("isinstance", "issubclass", "getattr", "setattr", "hasattr"):
            yield "swapped", node, changed(node, args=[node.args[1], node.args[0], *node.args[2:]])
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in UNSEEN_KEYWORDS:
            yield "left_out", node, changed(node, keywords=node.keywords[:place] + node.keywords[place + 1 :])


def is_none(node) -> bool:
    """Return whether a node is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None


def is_deletable(node: ast.Assign) -> bool:
    """Return whether names are bound without an assignment: it changes an object, or a name by way of itself."""
    target = node.targets[0]
    if isinstance(target, ast.Attribute | ast.Subscript):
        return True
    loaded = {child.id for child in ast.walk(node.value) if isinstance(child, ast.Name)}
    return isinstance(target, ast.Name) and target.id in loaded


def sample(module: str, source: bytes, count: int, seed: int) -> list[Mutant]:
    """Return up to ``count`` faults of a module, each operator as often as any other while it has places left."""
    draw = random.Random(f"{seed} {module}")
    by_operator: dict[str, list[Mutant]] = {}
    for mutant in Faults(module, source).all():
        by_operator.setdefault(mutant.operator, []).append(mutant)
    for mutants in by_operator.values():
        draw.shuffle(mutants)
    chosen: list[Mutant] = []
    while any(by_operator.values()) and len(chosen) < count:
        for operator in draw.sample(sorted(by_operator), len(by_operator)):
            mutants = by_operator[operator]
            while mutants and not compiles(mutants[-1].apply(source)):
                mutants.pop()
            chosen += [mutants.pop()] if mutants else []
    return chosen[:count]


def sample_of_all(package: Path, rooms, lines_per_mutant: float, seed: int) -> list[Mutant]:
    """Return the sample of some rooms, spread so that each beginning of it is a sample of all their modules."""
    placed = []
    for room in rooms:
        for path in sorted((package / room).rglob("*.py")):
            source, module = path.read_bytes(), str(path.relative_to(package))
            count = math.ceil(source.count(b"\n") / lines_per_mutant)
            mutants = [] if path.name == "__init__.py" else sample(module, source, count, seed)
            offset = random.Random(f"{seed} {module} offset").random()
            placed += [((place + offset) / len(mutants), module, mutant) for place, mutant in enumerate(mutants)]
    return [mutant for _, _, mutant in sorted(placed, key=lambda entry: entry[:2])]
