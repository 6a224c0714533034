"""How a model scores the candidates of recommendations.

Shapes: B histories, L length, N items with interactions (row 0 is PAD), C candidates, R some of these, M new items of
histories, D hidden, F feature.
"""

from dataclasses import dataclass

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn.functional import pad

from recbole_mpo.common.errors import DataError
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.layers.pair_evidence import Columns, ItemEvidence, Recent
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.model.recbole_evidence import LateEvidence
from recbole_mpo.release.growing_rows import GrowingRows


@dataclass(frozen=True)
class NewRows:
    """Items of histories that are not candidates; their numbers follow those of the candidates.

    Attributes:
        vectors: [M, D] their rows of ``encode_items``.
        evidence: evidence that knows them too; None if there is none, or if it knows only candidates.
    """

    vectors: Tensor
    evidence: ItemEvidence | None = None


class VectorScores:
    """Scores by item vectors, which are computed once, and evidence. It never changes, so threads may share it.

    Args:
        model: a trained model with item vectors.
        extra_features: features [C - N, F] of the items that have only text.
        item_vectors: vectors [C, D] that were computed before, instead of the features.
        evidence: evidence that knows all candidates; by default the model's own.
        candidates: what queries are multiplied with, that was computed before; only with ``item_vectors``.
    """

    def __init__(
        self,
        model: ItemVectorRecommender,
        extra_features: Tensor | None = None,
        item_vectors: Tensor | GrowingRows | None = None,
        evidence: ItemEvidence | None = None,
        candidates: GrowingRows | None = None,
    ):
        self.model, self.evidence = model, evidence
        with torch.no_grad():
            vectors = _vectors(model, extra_features) if item_vectors is None else item_vectors
            self._vectors = vectors if isinstance(vectors, GrowingRows) else GrowingRows.of(vectors)
            self._candidates = candidates or GrowingRows.of(model.candidates(self._vectors.rows))

    @property
    def item_vectors(self) -> Tensor:
        """Vectors [C, D] of all candidates."""
        return self._vectors.rows

    @property
    def candidates(self) -> Tensor:
        """What queries are multiplied with for scores [C, S]."""
        return self._candidates.rows

    def with_more(self, vectors: Tensor, evidence: ItemEvidence | None) -> "VectorScores":
        """Return scores of more candidates; those that are there are not computed again.

        Args:
            vectors: [M, D] their rows of ``encode_items``.
            evidence: evidence that knows all candidates, these too; None to keep what there is.
        """
        with torch.no_grad():
            candidates = self._candidates.with_more(self.model.candidates(vectors))
        both = self._vectors.with_more(vectors)
        return VectorScores(self.model, None, both, evidence or self.evidence, candidates)

    def __call__(self, item_seq: Tensor, lengths: Tensor, new: NewRows | None = None) -> Tensor:
        """Return the scores [B, C] of all candidates.

        Args:
            item_seq: rows of the candidates [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B].
            new: the items whose rows are C and above, if there are any.
        """
        scores = self.queries(item_seq, lengths, new) @ self.candidates.t()
        evidence = self.evidence if new is None or new.evidence is None else new.evidence
        if evidence is None:
            return self.model.add_evidence(scores, item_seq, lengths)
        return self.model.add_evidence(scores, item_seq, lengths, evidence)

    def queries(self, item_seq: Tensor, lengths: Tensor, new: NewRows | None = None) -> Tensor:
        """Return what candidates are multiplied with for their scores without evidence [B, D]; arguments as above."""
        return self.model.queries(self.states(item_seq, lengths, new))

    def states(self, item_seq: Tensor, lengths: Tensor, new: NewRows | None = None) -> Tensor:
        """Return the states [B, D] of histories; arguments as above."""
        if new is None:
            return self.model.encode_sequences(self.item_vectors, item_seq, lengths)
        # Only the rows that occur: a second table of all candidates would cost more than everything else.
        padding = item_seq.new_zeros(1)
        rows, places = torch.cat([padding, item_seq.flatten()]).unique(return_inverse=True)
        count = len(self.item_vectors)
        known = self.item_vectors.index_select(0, rows[rows < count])
        vectors = torch.cat([known, new.vectors.index_select(0, rows[rows >= count] - count)])
        return self.model.encode_sequences(vectors, places[1:].view_as(item_seq), lengths)

    def parts(self, item_seq: Tensor, lengths: Tensor, rows: Tensor, new: NewRows | None = None) -> dict[str, Tensor]:
        """Return the parts [B, R] of the scores of some candidates, which sum to them.

        ``text`` is what the item's text gives, ``ids`` what ids and biases give, and each kind of evidence has its own
        part. What ids do to the state of the history is in ``text``, as a state has no parts.

        Args:
            item_seq, lengths, new: as above.
            rows: rows of the candidates [R].
        """
        model, count = self.model, len(self.candidates)
        queries = self.queries(item_seq, lengths, new)
        total = queries @ self.candidates.index_select(0, rows).t()
        # Stored vectors are those of texts.
        parts = {"text": total} if model.uses_text or model.stores_items else {"ids": total}
        has_id = rows < model.n_items
        vectors = self.item_vectors.index_select(0, rows)
        by_ids = model.id_scores(queries, rows * has_id, vectors) if model.uses_text else None
        if by_ids is not None:
            by_ids = by_ids * has_id
            parts = {"text": total - by_ids, "ids": by_ids}
        evidence = model.evidence if self.evidence is None else self.evidence
        evidence = evidence if new is None or new.evidence is None else new.evidence
        if evidence is None or not evidence.is_fitted:
            return parts
        added = evidence.parts(Recent.of(item_seq, lengths), Columns(count))
        dense = {name: part.add_to(total.new_zeros(len(total), count)) for name, part in added.items()}
        return parts | {name: part.index_select(1, rows) for name, part in dense.items()}


def _vectors(model: ItemVectorRecommender, extra_features: Tensor | None) -> Tensor:
    """Return the vectors [C, D] of a model's items, and of items that only have text."""
    with merged(model):
        vectors = model.encode_items()
        if extra_features is None or not len(extra_features):
            return vectors
        return torch.cat([vectors, text_vectors(model, extra_features)])


def text_vectors(model: ItemVectorRecommender, features: Tensor) -> Tensor:
    """Return the vectors [M, D] of features [M, F] of items that have text but no id."""
    return torch.cat([model.encode_features(part) for part in features.split(model.item_chunk)])


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
