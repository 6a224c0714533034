"""The tensors of one training step: histories packed one after another into rows, or whole histories in groups.

Shapes: R rows of a batch, L length of a row, M targets, K newest items, W windows, B histories.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.data.packing import first_fit
from recbole_mpo.data.sequences import Windows, positions_within


@dataclass(frozen=True)
class PackedBatch:
    """Histories packed with little padding, and the positions that predict.

    Attributes:
        items: [R, L] item ids, 0 for padding.
        positions: [R, L] position within the history's window.
        predicting: [M] indices into the R * L positions whose state predicts a target.
        targets: [M] item ids.
        users: [M] internal user ids.
    """

    items: Tensor
    positions: Tensor
    predicting: Tensor
    targets: Tensor
    users: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device) -> "PackedBatch":
        """Return the same batch with its tensors on ``device``; from pinned memory the copy is asynchronous."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "PackedBatch":
        """Return the same batch in page-locked memory, from which a GPU can copy asynchronously."""
        return self._each(Tensor.pin_memory)

    def dealt(self, number: int, count: int) -> "PackedBatch":
        """Return the part of the batch that one of ``count`` processes computes: every so many rows, from a number on.

        The parts of all numbers have each target once; a part may be empty.
        """
        length = self.items.shape[1]
        row_M = torch.div(self.predicting, length, rounding_mode="floor")
        own_M = row_M % count == number
        row_M, places_M = row_M[own_M], self.predicting[own_M]
        places_M = places_M - (row_M - torch.div(row_M, count, rounding_mode="floor")) * length
        rows = slice(number, None, count)
        targets_M, users_M = self.targets[own_M], self.users[own_M]
        return PackedBatch(self.items[rows], self.positions[rows], places_M, targets_M, users_M)

    def newest_items(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the newest ``count`` items [M, K] before each target, the last one first, and which of them exist."""
        back_K = torch.arange(count, device=self.items.device)
        place_MK = self.predicting.unsqueeze(1) - back_K
        is_there_MK = self.positions.flatten().index_select(0, self.predicting).unsqueeze(1) >= back_K
        return self.items.flatten()[place_MK.clamp(min=0)], is_there_MK

    def _each(self, change) -> "PackedBatch":
        return replace(self, **{field.name: change(getattr(self, field.name)) for field in fields(self)})


@dataclass(frozen=True)
class HistoryBatch:
    """Whole histories, in groups of similar length.

    Attributes:
        groups: the items [B, L] of each group, left-aligned and padded with 0.
    """

    groups: tuple[Tensor, ...]

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    def to(self, device) -> "HistoryBatch":
        """Return the same batch with its tensors on ``device``."""
        return HistoryBatch(tuple(group.to(device, non_blocking=True) for group in self.groups))

    def pin_memory(self) -> "HistoryBatch":
        """Return the same batch in page-locked memory."""
        return HistoryBatch(tuple(map(Tensor.pin_memory, self.groups)))


def pack(values: np.ndarray, windows: Windows) -> PackedBatch:
    """Pack windows over ``values`` into rows that are as long as the longest window; no windows give no rows."""
    window, position = positions_within(windows.lengths)
    source = windows.starts[window] + position
    predicts = position >= (windows.lengths - windows.targets)[window]
    targets = values[source[predicts] + 1].astype(np.int64, copy=False)
    users = windows.users[window[predicts]]
    return _placed(values[source], windows.lengths, window, position, predicts, targets, users)


def pack_histories(item_seq: np.ndarray, lengths: np.ndarray) -> PackedBatch:
    """Pack the histories of padded rows [B, L]; the last position of each predicts, in the order of the rows.

    Targets and users are unknown and set to 0.
    """
    window, position = positions_within(lengths)
    is_last = position == lengths[window] - 1
    unknown = np.zeros(len(lengths), np.int64)
    return _placed(item_seq[window, position], lengths, window, position, is_last, unknown, unknown)


def _placed(items, lengths, window, position, predicts, targets, users) -> PackedBatch:
    """Place ``items``, each at ``position`` of its ``window``, in rows that are as long as the longest window."""
    width = int(lengths.max(initial=1))
    row, column = first_fit(lengths, width)
    place = (row * width + column)[window] + position
    shape = (int(row.max(initial=-1)) + 1, width)
    return PackedBatch(
        items=_scattered(items, place, shape),
        positions=_scattered(position, place, shape),
        predicting=torch.from_numpy(place[predicts]),
        targets=torch.from_numpy(targets),
        users=torch.from_numpy(users),
    )


def _scattered(values: np.ndarray, place: np.ndarray, shape: tuple[int, int]) -> Tensor:
    flat = np.zeros(shape[0] * shape[1], dtype=np.int64)
    flat[place] = values
    return torch.from_numpy(flat).view(shape)
