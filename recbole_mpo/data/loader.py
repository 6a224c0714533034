"""Training batches: whole histories packed into blocks of nearly equal length.

A causal encoder with left-aligned positions computes the same state for a prefix as for that position of the
whole history, so one pass over a history trains all its prefixes.

Shapes: T positions of a batch (blocks one after another), M targets.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.data.sequences import Windows, bucket_edges, gather_padded


@dataclass(frozen=True)
class PackedBatch:
    """One training step.

    Attributes:
        items: [T] item ids, 0 where padded.
        positions: [T] position within the history's window.
        blocks: (rows, length) of each block, in the order of T.
        predicting: [M] indices into T whose state predicts a target.
        targets: [M] item ids.
    """

    items: Tensor
    positions: Tensor
    blocks: tuple[tuple[int, int], ...]
    predicting: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device) -> "PackedBatch":
        """The same batch with its tensors on ``device``."""
        names = ("items", "positions", "predicting", "targets")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def pack(values: np.ndarray, windows: Windows, edges: np.ndarray) -> PackedBatch:
    """Packs windows over ``values`` into blocks, one per bucket size in ``edges`` that occurs."""
    bucket = np.searchsorted(edges, windows.lengths)
    items, positions, blocks, predicting, targets = [], [], [], [], []
    offset = 0
    for number in np.unique(bucket):
        chosen = bucket == number
        starts, lengths, predicted = windows.starts[chosen], windows.lengths[chosen], windows.targets[chosen]
        padded = gather_padded(values, starts, lengths)
        rows, width = padded.shape
        columns = np.arange(width)
        predicts = (columns < lengths[:, None]) & (columns >= (lengths - predicted)[:, None])
        items.append(padded.ravel())
        positions.append(np.tile(columns, rows))
        blocks.append((rows, width))
        predicting.append(np.flatnonzero(predicts) + offset)
        targets.append(values[(starts[:, None] + 1 + columns)[predicts]])
        offset += rows * width
    return PackedBatch(
        items=_tensor(items),
        positions=_tensor(positions),
        blocks=tuple(blocks),
        predicting=_tensor(predicting),
        targets=_tensor(targets),
    )


def _tensor(parts: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64, copy=False))


class PackedLoader:
    """Batches of about ``batch_size`` targets, as many per epoch as a loader of single rows would make.

    The order depends on (seed, epoch) alone: nothing is drawn from the global generators.
    """

    MAX_PADDING = 0.1

    def __init__(self, dataset, values: np.ndarray, windows: Windows, batch_size: int, seed: int, shuffle=True):
        self.dataset = self._dataset = dataset
        self.values = values
        self.windows = windows
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.edges = bucket_edges(windows.lengths, self.MAX_PADDING)
        self.set_epoch(0)

    def set_epoch(self, epoch: int):
        """Fixes the order of the next iteration."""
        order = np.arange(len(self.windows))
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(order)
        targets = self.windows.targets[order]
        step = (np.cumsum(targets) - targets) // self.batch_size
        self._batches = np.split(order, np.flatnonzero(np.diff(step)) + 1)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self):
        for chosen in self._batches:
            windows = Windows(
                self.windows.starts[chosen], self.windows.lengths[chosen], self.windows.targets[chosen]
            )
            yield pack(self.values, windows, self.edges)
