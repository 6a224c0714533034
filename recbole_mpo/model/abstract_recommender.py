"""What recommenders that rank all items share.

Shapes: N items (column 0 is PAD), D hidden, B rows, L length.
"""

from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor


class FullRankingRecommender(SequentialRecommender):
    """Scores all items at once (``full_sort_predict``); everything else follows from that."""

    input_type = InputType.POINTWISE
    trains_packed = True

    def predict(self, interaction) -> Tensor:
        """Scores [B] of one item per row."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)


class ItemVectorRecommender(FullRankingRecommender):
    """Scores are inner products of a history's state with item vectors, computed once per step or evaluation.

    A model gives :meth:`encode_items` and :meth:`encode_sequences`.
    """

    uses_text = False

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Vectors [N, D] of all items, or [len(ids), D] of the given ones."""
        raise NotImplementedError

    def encode_sequences(self, item_vectors: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """States [B, D] of histories [B, L], left-aligned and padded with 0 on the right."""
        raise NotImplementedError

    def score(self, states: Tensor, item_vectors: Tensor) -> Tensor:
        """Logits [B, N]."""
        return self.queries(states) @ self.candidates(item_vectors).t()

    def queries(self, states: Tensor) -> Tensor:
        """States [B, D] as scores take them."""
        return states

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """Item vectors [N, D] as scores take them."""
        return item_vectors

    def remember(self, scores_BN: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Scores with what a memory adds to them; as they are where a model has none."""
        return scores_BN

    def full_sort_predict(self, interaction) -> Tensor:
        """Scores [B, N] of all items."""
        item_vectors = self.encode_items()
        scores = self.score(self.encode_histories(item_vectors, interaction), item_vectors)
        return self.remember(scores, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])

    def encode_histories(self, item_vectors: Tensor, interaction) -> Tensor:
        """The last states [B, D] of RecBole's padded rows."""
        return self.encode_sequences(item_vectors, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
