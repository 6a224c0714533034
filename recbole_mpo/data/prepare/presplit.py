"""UniSRec's pre-split files: a target and the items before it on each line, the newest 50 of them.

Source: Hou et al. (UniSRec), KDD 2022, and its release: test = last item, valid = the one before, train = every
prefix pair of the rest, the longest first.
"""

from collections.abc import Iterator

import numpy as np

LONGEST = 50


def presplit_rows(part: str, histories, bounds: tuple[float, float] | None = None) -> Iterator[str]:
    """Lines of one part (``train``, ``valid`` or ``test``) without a header.

    Args:
        histories: (user, items in order, their times) of each user.
        bounds: where valid and test begin in time; leave-one-out without them.
    """
    for user, history, times in histories:
        ends = np.arange(1, len(history))
        chosen = ends[_parts(ends, times, bounds) == part]
        items = [str(item) for item in history]
        for end in reversed(chosen.tolist()):
            yield f"{user}\t{' '.join(items[max(0, end - LONGEST) : end])}\t{items[end]}"


def _parts(ends: np.ndarray, times, bounds) -> np.ndarray:
    """The part of each target."""
    if bounds is not None:
        return np.array(["train", "valid", "test"])[np.searchsorted(bounds, times[ends], side="right")]
    parts = np.full(len(ends), "train")
    # The first target always teaches, as in RecBole's leave-one-out.
    if len(ends) > 1:
        parts[-1] = "test"
    if len(ends) > 2:
        parts[-2] = "valid"
    return parts


def temporal_bounds(times: np.ndarray, ratios: tuple[float, float, float]) -> tuple[float, float]:
    """Times at which valid and test begin, so that each part holds its ratio of the interactions."""
    ordered = np.sort(times)
    first, second = (int(round(part * len(ordered))) for part in (ratios[0], ratios[0] + ratios[1]))
    return ordered[min(first, len(ordered) - 1)], ordered[min(second, len(ordered) - 1)]
