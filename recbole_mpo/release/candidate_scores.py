"""How a model scores the candidates of recommendations.

Shapes: B histories, L length, N items with interactions (row 0 is PAD), C candidates, D hidden, F feature.
"""

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn.functional import pad

from recbole_mpo.common.errors import DataError
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.model.recbole_evidence import LateEvidence


class VectorScores:
    """Scores by item vectors, which are computed once, and evidence.

    Args:
        model: a trained model with item vectors.
        extra_features: features [C - N, F] of the items that have only text.
    """

    def __init__(self, model: ItemVectorRecommender, extra_features: Tensor | None = None):
        self.model = model
        with merged(model), torch.no_grad():
            vectors = model.encode_items()
            if extra_features is not None and len(extra_features):
                parts = [model.encode_features(part) for part in extra_features.split(model.item_chunk)]
                vectors = torch.cat((vectors, *parts))
            self.candidates = model.candidates(vectors)
        self.item_vectors = vectors

    def __call__(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores [B, C] of all candidates.

        Args:
            item_seq: rows of the candidates [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B].
        """
        return self.model.add_evidence(self.queries(item_seq, lengths) @ self.candidates.t(), item_seq, lengths)

    def queries(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return what candidates are multiplied with for their scores without evidence [B, D]; arguments as above."""
        return self.model.queries(self.model.encode_sequences(self.item_vectors, item_seq, lengths))


class RowScores:
    """Scores of one of RecBole's own models for its padded rows.

    Args:
        model: a trained model.
    """

    def __init__(self, model: LateEvidence):
        self.model = model

    def __call__(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores [B, N] of all candidates.

        Args:
            item_seq: ids [B, L], left-aligned and padded with 0 on the right; L is at most that of training.
            lengths: number of items of each history [B].

        Raises:
            DataError: the model reads more than the items of a history.
        """
        padded = pad(item_seq, (0, self.model.max_seq_length - item_seq.shape[1]))
        try:
            scores = self.model.full_sort_predict(
                Interaction({self.model.ITEM_SEQ: padded, self.model.ITEM_SEQ_LEN: lengths})
            )
        except KeyError as problem:
            raise DataError(
                f"recommend gives a model the items of a history, but {type(self.model).__name__} also reads {problem}"
            ) from problem
        # Recommendations overwrite what they leave out.
        return scores.view(len(lengths), -1).clone()
