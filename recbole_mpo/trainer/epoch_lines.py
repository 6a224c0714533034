"""What training says while it runs: one line per epoch."""

import numpy as np

from recbole_mpo.common.progress import duration

# Epochs whose mean length tells the time that is left.
RECENT = 5


def epoch_line(history: list[dict], epochs: int, metric: str | None, is_best: bool = False) -> str:
    """Return the line of the last epoch in ``history``.

    Args:
        history: what was measured per epoch, as a record holds it.
        epochs: how many there are at most.
        metric: the metric that decides, ``NDCG@10`` for instance; None where there is no validation.
        is_best: whether this epoch's is the best so far.
    """
    last = history[-1]
    parts = [f"epoch {last['epoch']:>{len(str(epochs - 1))}}", f"loss {last['train_loss']:.4f}"]
    if metric and "valid" in last:
        name = metric.lower()
        parts.append(f"valid {name} {last['valid'][name]:.4f}{' best' if is_best else '     '}")
    parts.append(f"{_seconds(last):.1f} s")
    left = epochs - last["epoch"] - 1
    if left:
        parts.append(f"at most {duration(left * np.mean([_seconds(epoch) for epoch in history[-RECENT:]]))} left")
    return "   ".join(parts)


def _seconds(epoch: dict) -> float:
    return epoch["train_seconds"] + epoch.get("valid_seconds", 0.0)
