"""Loaders of training batches: packed windows of histories, or whole histories, in random order.

For a prefix, a causal encoder with left-aligned positions computes the same state as for that position in the whole
history. So one pass over a history trains on all its prefixes.

Shapes: I interactions, W windows.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from recbole_mpo.data.batches import HistoryBatch, PackedBatch, pack
from recbole_mpo.data.packing import similar_rows
from recbole_mpo.data.sequences import Windows, gather_padded


class EpochLoader:
    """Base of loaders whose order depends only on seed and epoch; global random generators are not used.

    A thread packs the next batch while the model trains on the current one. A subclass defines ``set_epoch``, which
    sets ``_batches``, and ``_pack``, which makes the batch of one of them.

    Args:
        dataset: the training part, stored as an attribute for callers.
        batch_size: targets per batch.
        seed: seed of the order.
        shuffle: whether the order is random.
        pin_memory: whether batches are in page-locked memory, for a GPU.
    """

    is_dealt = False
    """Whether each of several processes has its own part of a batch already."""

    def __init__(self, dataset, batch_size: int, seed: int, shuffle: bool = True, pin_memory: bool = False):
        # RecBole's trainer reads the private name.
        self.dataset = self._dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.pin_memory = pin_memory
        self._batches: Sequence = ()

    def set_epoch(self, epoch: int):
        """Set the epoch, which decides the order of the next iteration."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self):
        with ThreadPoolExecutor(max_workers=1) as worker:
            next_batch = None
            for chosen in self._batches:
                batch, next_batch = next_batch, worker.submit(self._in_place, chosen)
                if batch is not None:
                    yield batch.result()
            if next_batch is not None:
                yield next_batch.result()

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of users, of targets and of positions of an epoch, over all processes."""
        raise NotImplementedError

    def _in_place(self, chosen) -> PackedBatch | HistoryBatch:
        batch = self._pack(chosen)
        return batch.pin_memory() if self.pin_memory else batch

    def _pack(self, chosen) -> PackedBatch | HistoryBatch:
        raise NotImplementedError


def sizes_of(windows: Windows) -> tuple[int, int, int]:
    """Return the numbers of users, of targets and of positions of windows."""
    return len(np.unique(windows.users)), int(windows.targets.sum()), int(windows.lengths.sum())


class PackedLoader(EpochLoader):
    """Batches of about ``batch_size`` targets, so that an epoch has about as many batches as with single rows.

    Args:
        dataset: the training part, stored as an attribute for callers.
        values: [I] items of flat histories.
        windows: [W] windows over ``values``.
        batch_size, seed, shuffle, pin_memory: as for :class:`EpochLoader`.
    """

    def __init__(
        self,
        dataset,
        values: np.ndarray,
        windows: Windows,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        pin_memory: bool = False,
    ):
        super().__init__(dataset, batch_size, seed, shuffle, pin_memory)
        self.values = values
        self.windows = windows
        self.set_epoch(0)

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of users, of targets and of positions of an epoch."""
        return sizes_of(self.windows)

    def of_histories(self, batch_size: int, longest: int) -> "HistoryLoader":
        """Return a loader of ``batch_size`` whole windows per batch, each cut to its newest ``longest`` items."""
        order = {"seed": self.seed, "shuffle": self.shuffle}
        return HistoryLoader(
            self.dataset, self.values, self.windows, batch_size, **order, pin_memory=self.pin_memory, longest=longest
        )

    def set_epoch(self, epoch: int):
        """Set the epoch, which decides the order of the next iteration."""
        order = np.arange(len(self.windows))
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(order)
        self._batches = np.split(order, np.flatnonzero(np.diff(self._batch_of(order))) + 1)

    def _batch_of(self, order: np.ndarray) -> np.ndarray:
        """Return the number of the batch of each window, for windows in this order."""
        targets = self.windows.targets[order]
        return (np.cumsum(targets) - targets) // self.batch_size

    def _pack(self, chosen: np.ndarray) -> PackedBatch:
        return pack(self.values, self.windows[chosen])


class HistoryLoader(PackedLoader):
    """Batches of ``batch_size`` whole windows, including targets, for models that read a history in both directions.

    Takes the arguments of :class:`PackedLoader`, and ``longest``: longer windows are cut to their newest items.
    """

    def __init__(self, *arguments, longest: int | None = None, **options):
        self.longest = longest
        super().__init__(*arguments, **options)

    def _batch_of(self, order: np.ndarray) -> np.ndarray:
        return np.arange(len(order)) // self.batch_size

    def _pack(self, chosen: np.ndarray) -> HistoryBatch:
        whole = self.windows.lengths[chosen] + 1
        lengths = whole if self.longest is None else np.minimum(whole, self.longest)
        starts = self.windows.starts[chosen] + whole - lengths
        groups = similar_rows(lengths, np.arange(len(lengths)))
        padded = (gather_padded(self.values, starts[rows], lengths[rows]).astype(np.int64) for rows in groups)
        return HistoryBatch(tuple(map(torch.from_numpy, padded)))
