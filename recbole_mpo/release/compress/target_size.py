"""Choose the strength of a method for a size."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.release.compress.compressed_files import artefact_bytes
from recbole_mpo.release.compress.method import Method, Step

# Trials of a strength; each halves the range.
TRIALS = 9


def choose_strength(
    steps: list[Step], target: float | None, apply: Callable[[list[Step], str], None], whole: str | Path
) -> list[Step]:
    """Return a chain with the weakest strength, tried by halving, at which an artefact is small enough.

    Args:
        steps: the chain, of which one method has no strength yet; one with all strengths is returned as it is.
        target: bytes of the artefact that the method makes smaller, as a share of the uncompressed ones.
        apply: a function that applies a chain to a copy of the model and writes the result into a folder.
        whole: folder of the uncompressed model.

    Raises:
        ConfigError: the strongest strength is not enough.
    """
    place = next((n for n, step in enumerate(steps) if step.method.bounds and step.strength is None), None)
    if place is None:
        return steps
    method = steps[place].method
    goal = target * artefact_bytes(whole)[method.artefact]

    def size(strength: float) -> int:
        trial = copy.copy(steps)
        trial[place] = Step(method, strength)
        with tempfile.TemporaryDirectory() as folder:
            apply(trial, folder)
            return artefact_bytes(folder)[method.artefact]

    strength = _search(method, goal, size)
    if strength is None:
        raise ConfigError(f"method {method.name} cannot reach target_ratio={target:g} at any strength; choose another")
    chosen = copy.copy(steps)
    chosen[place] = Step(method, strength)
    return chosen


def _search(method: Method, goal: float, size: Callable[[float], int]) -> float | None:
    """Return the weakest strength tried whose size is at most the goal; None if there is none."""
    least, most = method.bounds
    weak, strong = (most, least) if method.falls else (least, most)
    if size(strong) > goal:
        return None
    if size(weak) <= goal:
        return weak
    for _ in range(TRIALS if not method.is_whole else int(most).bit_length()):
        middle = (weak + strong) / 2
        middle = int(middle) if method.is_whole else middle
        if middle in (weak, strong):
            break
        weak, strong = (weak, middle) if size(middle) <= goal else (middle, strong)
    return strong if method.is_whole else round(strong, 4) if size(round(strong, 4)) <= goal else strong
