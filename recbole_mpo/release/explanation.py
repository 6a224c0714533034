"""The parts of scores: what the text, the ids and each kind of evidence give to a recommendation.

Shapes: B histories, L length, R candidates that are asked for.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recbole_mpo.common.errors import DataError
from recbole_mpo.release.candidate_scores import NewRows, VectorScores
from recbole_mpo.release.candidates import Candidates
from recbole_mpo.release.folder_model import has_folder


def explained(
    candidates: Candidates,
    model,
    histories: list[np.ndarray],
    padded: Callable[[list[np.ndarray]], tuple[Tensor, Tensor]],
    tokens: list[list[str]],
    new: NewRows | None,
) -> list[list[dict[str, float]]]:
    """Return, for each of B histories, the parts of the scores of its candidates.

    Args:
        candidates: the items that are ranked.
        model: the model.
        histories: rows of the items of each history.
        padded: gives the newest rows [B, L] of histories and their lengths [B].
        tokens: the candidates that are asked for after each history.
        new: the items whose rows are those after the candidates', if there are any.

    Raises:
        DataError: a token is unknown, or the model is RecBole's, whose scores have no parts.
    """
    if not isinstance(candidates.scores, VectorScores) or not has_folder(model):
        raise DataError(f"the scores of {type(model).__name__} have no parts to explain")
    candidates.check_known([token for row in tokens for token in row])
    step, parts = candidates.histories_at_once(max(1, len(histories))), []
    for begin in range(0, len(histories), step):
        several = slice(begin, begin + step)
        parts += _parts(candidates, *padded(histories[several]), tokens[several], new)
    return parts


def _parts(candidates: Candidates, item_seq: Tensor, lengths: Tensor, tokens: list[list[str]], new) -> list[list[dict]]:
    # All histories are computed with all tokens: that costs less than one history after another.
    places = {token: place for place, token in enumerate(dict.fromkeys(token for row in tokens for token in row))}
    if not places:
        return [[] for _ in tokens]
    asked = torch.tensor([candidates.row_of[token] for token in places], device=item_seq.device)
    parts_BR = candidates.scores.parts(item_seq, lengths, asked, new)
    answers = []
    for row, own in enumerate(tokens):
        columns = [places[token] for token in own]
        values = [part[row, columns].tolist() for part in parts_BR.values()]
        answers.append([dict(zip(parts_BR, sizes, strict=True)) for sizes in zip(*values, strict=True)])
    return answers
