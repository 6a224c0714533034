"""How the names and shapes of weights differ from those of a model, in one line that has them all.

Names that differ only in numbers are one: ``moe_adaptor.experts.{0-7}.bias``.
"""

import math
import re
from collections.abc import Iterable

from recbole_mpo.common.terminal import one_line

# More than UniSRec has, with its layers and experts counted once; a file of another model may have any number.
MOST_SHOWN, LONGEST_NAME = 24, 120
QUOTED = re.compile('"([^"]*)"')
OF_SHAPES = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\((.*?)\) from checkpoint, the shape in current "
    r"model is torch\.Size\((.*?)\)\."
)


def describe_differences(problem: RuntimeError) -> str:
    """Return all that the error of ``load_state_dict`` lists: other shapes, missing names, unexpected names.

    Args:
        problem: the error of a strict ``load_state_dict``.
    """
    first, *lines = str(problem).split("\n\t")
    kinds: dict[str, list[str]] = {"lacks": [], "has": []}
    shapes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("Missing key(s)"):
            kinds["lacks"] = QUOTED.findall(line)
        elif line.startswith("Unexpected key(s)"):
            kinds["has"] = QUOTED.findall(line)
        elif match := OF_SHAPES.match(line):
            shapes.setdefault(f"{match[2]}, here {match[3]}", []).append(match[1])
        else:
            name, _, reason = line.partition(": ")
            shapes.setdefault(reason.removeprefix("size mismatch for "), []).append(name)
    named = [name for names in shapes.values() for name in names]
    # A layer that could not take its weight also misses what it would have made of it.
    kinds["lacks"] = [name for name in kinds["lacks"] if not name.startswith(tuple(f"{name}." for name in named))]
    parts = {
        "size mismatch for": [f"{name} ({reason})" for reason, names in shapes.items() for name in shorten(names)],
        "it lacks": shorten(kinds["lacks"]),
        "it also has": shorten(kinds["has"]),
    }
    return "; ".join(f"{label} {_listed(texts)}" for label, texts in parts.items() if texts) or one_line(first)


def _listed(texts: list[str]) -> str:
    shown = ", ".join(one_line(text[:LONGEST_NAME]) for text in texts[:MOST_SHOWN])
    return f"{shown} and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else shown


def shorten(names: Iterable[str]) -> list[str]:
    """Return names, sorted, in which those that differ only in numbers are one if no combination is left out.

    Args:
        names: names with dots, such as ``layer.0.weight``.
    """
    groups: dict[tuple[str | None, ...], list[tuple[str, ...]]] = {}
    for name in names:
        parts = tuple(name.split("."))
        groups.setdefault(tuple(None if part.isdecimal() else part for part in parts), []).append(parts)
    shortened = []
    for pattern, members in groups.items():
        columns = [sorted(set(column), key=_in_order) for column in zip(*members, strict=True)]
        if math.prod(map(len, columns)) == len(set(members)):
            parts = zip(pattern, columns, strict=True)
            shortened.append(".".join(_numbers(column) if part is None else part for part, column in parts))
        else:
            shortened += [".".join(member) for member in members]
    return sorted(shortened)


def _in_order(part: str) -> tuple[int, str]:
    return len(part), part


def _numbers(parts: list[str]) -> str:
    """Return a number, or several in braces."""
    if len(parts) == 1:
        return parts[0]
    is_range = len(parts) > 2 and len(parts[-1]) < 9 and int(parts[-1]) - int(parts[0]) == len(parts) - 1
    return f"{{{parts[0]}-{parts[-1]}}}" if is_range else f"{{{','.join(parts)}}}"
