"""Batches of a sharded dataset: a step takes its share of every part, so that processes can have parts of their own.

With B steps in an epoch, a part whose windows have T targets gives step b the windows whose targets begin from b T / B
to (b + 1) T / B of its own random order. So what all parts give to a step does not depend on which process has which.

Shapes: W windows of a part, B steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_mpo.data.batches import PackedBatch, pack
from recbole_mpo.data.loader import EpochLoader, sizes_of
from recbole_mpo.data.sequences import Windows, positions_within


@dataclass(frozen=True)
class TrainingPart:
    """The training windows of one part.

    Attributes:
        number: number of the part in the dataset, a seed of its order.
        values: items of the part, flat.
        windows: [W] windows over them.
    """

    number: int
    values: np.ndarray
    windows: Windows


class ShardLoader(EpochLoader):
    """Batches of about ``batch_size`` targets of all processes together, of which each packs those of its own parts.

    Steps in which no process has a target are left out. A process may have no target in a step of others.

    Args:
        dataset: the training part, stored as an attribute for callers.
        parts: the parts of this process.
        targets: training targets of all parts together.
        batch_size, seed, shuffle, pin_memory: as for :class:`EpochLoader`.
        add_up: function that adds an array [B] of numbers over all processes; they call it at the same time.
    """

    is_dealt = True

    def __init__(
        self,
        dataset,
        parts: Sequence[TrainingPart],
        targets: int,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        pin_memory: bool = False,
        add_up: Callable[[np.ndarray], np.ndarray] = np.asarray,
    ):
        super().__init__(dataset, batch_size, seed, shuffle, pin_memory)
        self.parts, self.add_up = list(parts), add_up
        # Until an epoch begins, all of the steps that there can be.
        self._batches = range(max(1, -(-targets // batch_size)))
        self._steps = len(self._batches)
        self._orders: list[np.ndarray] = []
        self._edges: list[np.ndarray] = []

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of users, of targets and of positions of an epoch, over all processes together."""
        own = np.array([sizes_of(part.windows) for part in self.parts], np.int64).reshape(-1, 3)
        return tuple(self.add_up(own.sum(axis=0)).tolist())

    def __iter__(self):
        if len(self._edges) < len(self.parts):
            # Processes that train set an epoch first; who looks at a batch has the first one's.
            self.set_epoch(0)
        return super().__iter__()

    def set_epoch(self, epoch: int):
        """Set the epoch, which decides the order of the next iteration; all processes do so together."""
        counts_B = np.zeros(self._steps, np.int64)
        self._orders, self._edges = [], []
        for part in self.parts:
            order_W = np.arange(len(part.windows), dtype=np.int32)
            if self.shuffle:
                np.random.default_rng((self.seed, epoch, part.number)).shuffle(order_W)
            edges = self._edges_of(part.windows.targets[order_W])
            counts_B += np.diff(edges)
            self._orders.append(order_W)
            self._edges.append(edges)
        self._batches = np.flatnonzero(self.add_up(counts_B))

    def _edges_of(self, targets_W: np.ndarray) -> np.ndarray:
        """Return where the windows of each step begin and the last one's end, [B + 1], for windows in order."""
        ends_W = np.cumsum(targets_W, dtype=np.int64)
        total = int(ends_W[-1]) if len(ends_W) else 1
        step_W = (ends_W - targets_W) * self._steps // total
        return np.searchsorted(step_W, np.arange(self._steps + 1))

    def _pack(self, chosen: int) -> PackedBatch:
        # A process may have no part at all.
        taken, begin = [(np.empty(0, np.int64),) * 5], 0
        for part, order_W, edges in zip(self.parts, self._orders, self._edges, strict=True):
            own = part.windows[order_W[edges[chosen] : edges[chosen + 1]]]
            taken.append(_copied(part.values, own, begin))
            begin += len(taken[-1][0])
        values, *fields = (np.concatenate(arrays) for arrays in zip(*taken, strict=True))
        return pack(values, Windows(*fields))


def _copied(values: np.ndarray, windows: Windows, begin: int) -> tuple[np.ndarray, ...]:
    """Return the values that windows read and predict, and the fields of these windows over them.

    Args:
        values: items of a part.
        windows: windows over them.
        begin: where the values will be in the joined ones.
    """
    spans = windows.lengths.astype(np.int64) + 1
    window, position = positions_within(spans)
    copied = values[windows.starts.astype(np.int64)[window] + position]
    return copied, begin + np.cumsum(spans) - spans, spans - 1, windows.targets, windows.users
