"""Progress bars, which are shown only on a terminal and removed when they are full, and times in words."""

from tqdm import tqdm


def progress_bar(items=None, *, shown: bool, description: str, **options) -> tqdm:
    """Return a progress bar over ``items``, or one that the caller updates.

    Args:
        items: an iterable; None if the caller calls ``update``.
        shown: whether to show a bar; in a file or a pipe there is never one.
        description: text before the bar.
        options: options of tqdm, for example ``total`` and ``unit``.
    """
    # With None, tqdm hides the bar unless the output is a terminal.
    hidden = None if shown else True
    return tqdm(items, desc=description, disable=hidden, leave=False, dynamic_ncols=True, **options)


def duration(seconds: float) -> str:
    """Return seconds in words, to two units: ``1 h 5 min``, ``2 min 10 s``."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
