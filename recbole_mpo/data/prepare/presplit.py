"""UniSRec's pre-split files: each line holds a target and the newest 50 items before it.

Source: Hou et al. (UniSRec), KDD 2022, and its release: test = last item, valid = the one before, train = all
pairs of prefix and next item in the rest, the longest first.
"""

from collections.abc import Iterator

import numpy as np

from recbole_mpo.data.atomic_files import SPLITS

LONGEST = 50


def presplit_rows(split: str, histories, bounds: tuple[float, float] | None = None) -> Iterator[str]:
    """Yield the lines of one split (``train``, ``valid`` or ``test``) without a header.

    Args:
        split: name of the split.
        histories: (user, items in order, their times) for each user.
        bounds: times at which valid and test begin; None means leave-one-out.
    """
    for user, history, times in histories:
        ends = np.arange(1, len(history))
        chosen = ends[_splits(ends, times, bounds) == split]
        items = [str(item) for item in history]
        for end in reversed(chosen.tolist()):
            yield f"{user}\t{' '.join(items[max(0, end - LONGEST) : end])}\t{items[end]}"


def _splits(ends: np.ndarray, times, bounds) -> np.ndarray:
    """Return the split of each target."""
    train, valid, test = SPLITS
    if bounds is not None:
        return np.array(SPLITS)[np.searchsorted(bounds, times[ends], side="right")]
    splits = np.full(len(ends), train)
    # The first target is always in train, as in RecBole's leave-one-out.
    if len(ends) > 1:
        splits[-1] = test
    if len(ends) > 2:
        splits[-2] = valid
    return splits


def temporal_bounds(times: np.ndarray, ratios: tuple[float, float, float]) -> tuple[float, float]:
    """Return the times at which valid and test begin, so that each split has its share of the interactions."""
    ordered = np.sort(times)
    first, second = (int(round(part * len(ordered))) for part in (ratios[0], ratios[0] + ratios[1]))
    return ordered[min(first, len(ordered) - 1)], ordered[min(second, len(ordered) - 1)]
