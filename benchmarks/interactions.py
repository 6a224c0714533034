"""Synthetic datasets of any size over one catalogue, written block by block.

Users' activity and items' popularity are long-tailed, every item occurs, and the rows of the file stand in no order,
the hardest case for a reader. The same arguments give the same files.
"""

from pathlib import Path

import numpy as np

BLOCK = 500_000
FIRST_TIME, SPAN = 1_500_000_000, 150_000_000
WORDS = "red blue green small large steel wooden glass cotton lamp table chair cup brush paint paper tape".split()


def write_interactions(folder: str | Path, name: str, interactions: int, items: int, seed: int = 0) -> Path:
    """``<folder>/<name>/<name>.inter``, with about ten interactions per user and four at least.

    Args:
        interactions: rows of the file.
        items: size of the catalogue, at most ``interactions``; every file of one catalogue holds the same tokens.
    """
    if not 0 < items <= interactions:
        raise ValueError(f"{interactions} interactions cannot show each of {items} items")
    draw = np.random.default_rng(seed)
    users = draw.permutation(np.repeat(*_activity(interactions, draw)))
    popularity = np.cumsum(1 / np.arange(1, items + 1) ** 0.8)
    catalogue = draw.permutation(items)
    path = _target(folder, name) / f"{name}.inter"
    with open(path, "wb") as file:
        file.write(b"user_id:token\titem_id:token\ttimestamp:float\n")
        for begin in range(0, interactions, BLOCK):
            block = users[begin : begin + BLOCK]
            ranks = np.searchsorted(popularity, draw.random(len(block)) * popularity[-1])
            _show_each_once(ranks, begin, interactions // items, items)
            times = FIRST_TIME + draw.integers(SPAN, size=len(block))
            file.write(_lines((b"u", block, 8), (b"i", catalogue[ranks], 7), (b"", times, 10)))
    return path


def write_texts(folder: str | Path, name: str, items: int, seed: int = 0) -> Path:
    """``<folder>/<name>/<name>.text``: six words and a number for each item of the catalogue."""
    chosen = np.random.default_rng(seed).choice(WORDS, (items, 6))
    lines = [f"i{item:07d}\t{' '.join(words)} {item}." for item, words in enumerate(chosen.tolist())]
    path = _target(folder, name) / f"{name}.text"
    path.write_text("\n".join(["item_id:token\ttext:token_seq", *lines]) + "\n", encoding="utf-8")
    return path


def write_features(folder: str | Path, name: str, items: int, dimension: int, seed: int = 0) -> Path:
    """``<folder>/<name>/<name>.npy``: random features float32 [items, dimension], in the order of the texts."""
    path = _target(folder, name) / f"{name}.npy"
    np.save(path, np.random.default_rng(seed).standard_normal((items, dimension), dtype=np.float32))
    return path


def _target(folder: str | Path, name: str) -> Path:
    target = Path(folder) / name
    target.mkdir(parents=True, exist_ok=True)
    return target


def _activity(interactions: int, draw) -> tuple[np.ndarray, np.ndarray]:
    """Users and how many interactions each has; they add up to ``interactions``."""
    weights = 1.4 + draw.lognormal(size=max(interactions // 10, 1))
    bounds = np.rint(np.cumsum(weights) * (interactions / weights.sum())).astype(np.int64)
    return np.arange(len(weights), dtype=np.int32), np.diff(bounds, prepend=0)


def _show_each_once(ranks: np.ndarray, begin: int, stride: int, items: int):
    """Every ``stride``-th row of the file shows the next item, so that small files hold the whole catalogue too."""
    rows = np.arange(-begin % stride, len(ranks), stride)
    shown = (begin + rows) // stride
    ranks[rows[shown < items]] = shown[shown < items]


def _lines(*columns: tuple[bytes, np.ndarray, int]) -> bytes:
    """Rows of tab-separated cells; each column is a prefix, numbers and how many digits they are written with."""
    parts = []
    for prefix, numbers, width in columns:
        text = np.empty((len(numbers), len(prefix) + width + 1), dtype=np.uint8)
        text[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
        for place in range(width):
            text[:, len(prefix) + width - 1 - place] = ord("0") + numbers // 10**place % 10
        text[:, -1] = ord("\t")
        parts.append(text)
    parts[-1][:, -1] = ord("\n")
    return np.hstack(parts).tobytes()
