"""What a method of compression is, and how a chain of them is written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import suggestion

# In this order methods may follow one another: parts are taken out, matrices are rewritten, weights and then item
# vectors are stored in fewer bits.
STAGES = ("parts", "matrices", "weights in fewer bits", "item vectors", "item vectors in fewer bits")
PARTS, MATRICES, WEIGHT_BITS, ITEMS, ITEM_BITS = range(len(STAGES))
# Stages of which a chain may have several methods.
REPEATED = (PARTS,)
# The artefacts that methods make smaller.
CHECKPOINT, WITH_FEATURES, CACHED_ITEMS = "checkpoint", "serving_features", "items"


@dataclass(frozen=True)
class Method:
    """One method of compression.

    Attributes:
        name: its name on the command line.
        stage: number of its stage in ``STAGES``.
        apply: a function from (model, strength, context) to the compressed model.
        strength: what the strength means; empty if there is none.
        stored: how the result is stored.
        bounds: least and largest strength, both allowed; None without a strength.
        is_whole: whether a strength is a whole number.
        is_trained: whether further training after it makes sense.
        artefact: what it makes smaller.
        falls: whether a larger strength leaves more bytes, such as a bond dimension.
    """

    name: str
    stage: int
    apply: Callable[..., nn.Module]
    strength: str
    stored: str
    bounds: tuple[float, float] | None = None
    is_whole: bool = False
    is_trained: bool = False
    artefact: str = CHECKPOINT
    falls: bool = False


class Step(NamedTuple):
    """A method with its strength; None if it has none, or if a target size is to choose it."""

    method: Method
    strength: float | None

    def __str__(self) -> str:
        return self.method.name if self.strength is None else f"{self.method.name}:{self.strength:.12g}"


def parse_variants(text: str, methods: dict[str, Method], may_lack_strength: bool = False) -> list[list[Step]]:
    """Return the chains of methods that a text names, such as ``prune:0.5, svd:0.5+int8``.

    Args:
        text: chains parted by commas or blanks; the methods of a chain are joined by ``+``.
        methods: the methods by name.
        may_lack_strength: whether one method of each chain may have no strength, which a target size chooses.

    Raises:
        ConfigError: a method is unknown, or has a wrong strength or place in its chain; or there is none.
    """
    words = text.replace(",", " ").split()
    if not words:
        raise ConfigError("method needs at least one method, such as prune:0.5 or svd:0.5+int8")
    variants = [[_parse_step(word, methods) for word in chain.split("+")] for chain in dict.fromkeys(words)]
    for steps in variants:
        check_order(steps)
        lacking = [step.method.name for step in steps if step.method.bounds and step.strength is None]
        if len(lacking) > int(may_lack_strength):
            problem = "a target_ratio chooses one strength" if may_lack_strength else "write it, or give a target_ratio"
            raise ConfigError(f"method {' and '.join(lacking)} needs a strength such as {_example(steps)}: {problem}")
    return variants


def _example(steps: list[Step]) -> str:
    method = next(step.method for step in steps if step.method.bounds and step.strength is None)
    return f"{method.name}:{method.bounds[0] if method.is_whole else 0.5:g}"


def _parse_step(word: str, methods: dict[str, Method]) -> Step:
    name, colon, text = word.partition(":")
    if name not in methods:
        raise ConfigError(f"unknown method {name!r}{suggestion(name, methods)}; there are {', '.join(methods)}")
    method = methods[name]
    if not colon:
        return Step(method, None)
    if method.bounds is None:
        raise ConfigError(f"method {name} has no strength; write {name}, not {word}")
    least, most = method.bounds
    kind = "whole number" if method.is_whole else "number"
    try:
        strength = int(text) if method.is_whole else float(text)
    except ValueError:
        strength = None
    if strength is None or not least <= strength <= most:
        raise ConfigError(
            f"method {word}: the strength ({method.strength}) must be a {kind} from {least:g} to {most:g}, not {text!r}"
        )
    return Step(method, strength)


def check_order(steps: Iterable[Step]):
    """Refuse methods whose order would undo or repeat another's work.

    Raises:
        ConfigError: a method comes after one of a later stage, or two rewrite the same.
    """
    steps = list(steps)
    for before, after in zip(steps, steps[1:], strict=False):
        first, second = before.method, after.method
        if second.stage < first.stage:
            raise ConfigError(
                f"method {first.name}+{second.name}: {second.name} ({STAGES[second.stage]}) must come before "
                f"{first.name} ({STAGES[first.stage]}); write {second.name}+{first.name}"
            )
        if second.stage == first.stage and (first.stage not in REPEATED or first.name == second.name):
            raise ConfigError(
                f"method {first.name}+{second.name}: both change the same thing ({STAGES[first.stage]}); choose one"
            )


def name_of_chain(steps: Iterable[Step]) -> str:
    """Return a chain as it is written on the command line."""
    return "+".join(map(str, steps))
