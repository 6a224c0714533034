"""Histories as rows of the candidates, and the best candidates after them.

Shapes: B histories, L length, C candidates (row 0 is PAD).
"""

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.data.sequences import gather_padded
from recbole_mpo.release.answers import Recommended
from recbole_mpo.release.candidate_scores import NewRows
from recbole_mpo.release.candidates import Candidates


def padded(histories: list[np.ndarray], longest: int, device) -> tuple[Tensor, Tensor]:
    """Return the newest rows of histories [B, L], padded on the right, and their lengths [B], on a device.

    Args:
        histories: rows of the items of each history, oldest first.
        longest: largest L; older items are left out.
        device: the device.
    """
    newest = [history[-longest:] for history in histories]
    lengths = np.array([len(history) for history in newest])
    rows = gather_padded(np.concatenate(newest), np.cumsum(lengths) - lengths, lengths)
    return torch.from_numpy(rows).to(device), torch.from_numpy(lengths).to(device)


def best_after(
    candidates: Candidates,
    histories: list[np.ndarray],
    batch: tuple[Tensor, Tensor],
    new: NewRows | None,
    left_out: Tensor,
    topk: int,
) -> list[list[Recommended]]:
    """Return the best candidates after each history, without its own items.

    Args:
        candidates: the candidates.
        histories: rows of the items of each history, of all lengths.
        batch: what :func:`padded` gives for them.
        new: the items whose rows are C and above, if there are any.
        left_out: rows that are not recommended.
        topk: largest number of results per history.
    """
    excluded = [torch.from_numpy(history) for history in histories]
    best = candidates.best(*batch, topk, excluded, left_out, *([] if new is None else [new]))
    return [
        [
            Recommended(candidates.tokens[item], score, candidates.titles.get(candidates.tokens[item], ""))
            for item, score in zip(items, values, strict=True)
            if np.isfinite(score)
        ]
        for items, values in zip(best.rows.tolist(), best.scores.tolist(), strict=True)
    ]
