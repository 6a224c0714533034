"""What the rest of the package may ask of any model, and what recommenders that rank all items share.

Shapes: N items (column 0 is PAD), D hidden, B rows, L length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_mpo.common.errors import CheckpointError

# What belongs to the items of one dataset: the id table, the text table that UniSRec's published code saves, biases
# of items, the weight of a table of counts.
ITEM_TABLES = ("item_embedding.", "plm_embedding.", "output_bias", "memory.")


@dataclass(frozen=True)
class PretrainedWeights:
    """What ``pretrained`` names: weights, and what is known of the run that made them.

    Attributes:
        path: the file.
        weights: by parameter name.
        settings: of that run; empty where the file holds weights alone.
        item_hash: identifies its items, where it says.
        item_names: names of its items by row that mean the same in other datasets, where it keeps them.
    """

    path: Path
    weights: dict[str, Tensor]
    settings: dict
    item_hash: str | None = None
    item_names: Sequence[str] = ()


class ModelContract:
    """All that data, trainers and runs ask of a model, declared once with what holds for RecBole's own models.

    Mixed in before a model class of RecBole: ``class SASRec(ModelContract, recbole's SASRec)``.
    """

    trains_packed: ClassVar[bool] = False
    """Its loss takes a :class:`~recbole_mpo.data.batches.PackedBatch` and is its own (``loss_type`` is not asked)."""
    needs_packed: ClassVar[bool] = False
    """It cannot be trained on RecBole's padded prefixes."""
    trains_histories: ClassVar[bool] = False
    """Its loss takes a :class:`~recbole_mpo.data.batches.HistoryBatch`."""
    trims_batches: ClassVar[bool] = False
    """Loss and scores of a row do not depend on the padding behind its history, so it may be left out."""
    predicts_masked_items: ClassVar[bool] = False
    """RecBole's data transform masks items of its training rows."""
    is_built_from_items: ClassVar[bool] = False
    """Its parameters follow from the items and the settings, so that a checkpoint suffices to build it."""
    item_inputs: ClassVar[tuple[str, ...]] = ()
    """What ``item_input`` may be; empty where there is no such setting."""
    fresh_weights: tuple[str, ...] = ITEM_TABLES
    """Prefixes of the weights that ``pretrained`` leaves as initialised."""
    uses_text: bool = False
    """Item vectors are computed from text features."""
    scores_text_alone: bool = False
    """An item that has text and no id can be recommended."""
    feature_hash: str | None = None
    """Identifies the text features."""
    counts_hash: str | None = None
    """Identifies what was counted in training interactions."""
    feature_size: int = 0
    """Columns F of the frozen table of text features [N, F] that the model reads."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item_tokens: np.ndarray = dataset.field2id_token[dataset.iid_field]
        """Tokens of the items [N] by internal id."""
        self.item_hash: str = dataset.item_hash
        """Identifies the items and their numbering."""

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return what a table calls a run of the model ``name`` with these settings, unless ``run_label`` does."""
        return name

    def carry_over(self, source: PretrainedWeights) -> dict[str, Tensor]:
        """Return the weights of another run's checkpoint that go over otherwise than by name.

        Raises:
            CheckpointError, ConfigError: the checkpoint is not one that this model can start from.
        """
        return {}

    def check_items(self, item_hash: str | None, path: str | Path):
        """Refuse a checkpoint of other items or of another numbering of them.

        Raises:
            CheckpointError: ``item_hash``, as the file at ``path`` gives it, is not this model's.
        """
        if item_hash != self.item_hash:
            raise CheckpointError(
                f"checkpoint {path} was trained on other items, or on the same in another order (ids follow the order "
                "of appearance): restore its interaction files, or start a new run from its weights with --pretrained"
            )

    def check_fresh_start(self):
        """Refuse to train from the weights of initialisation where that makes no sense."""


class FullRankingRecommender(ModelContract, SequentialRecommender):
    """Scores all items at once (``full_sort_predict``); everything else follows from that."""

    input_type = InputType.POINTWISE
    trains_packed = True

    def predict(self, interaction) -> Tensor:
        """Return the scores [B] of one item per row."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)


class ItemVectorRecommender(FullRankingRecommender):
    """Scores are inner products of a history's state with item vectors, computed once per step or evaluation.

    A model gives :meth:`encode_items` and :meth:`encode_sequences`.
    """

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors [N, D] of all items, or [len(ids), D] of the given ones."""
        raise NotImplementedError

    def encode_sequences(self, item_vectors: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the states [B, D] of histories [B, L], left-aligned and padded with 0 on the right."""
        raise NotImplementedError

    def score(self, states: Tensor, item_vectors: Tensor) -> Tensor:
        """Return the logits [B, N]."""
        return self.queries(states) @ self.candidates(item_vectors).t()

    def queries(self, states: Tensor) -> Tensor:
        """Return states [B, D] as scores take them."""
        return states

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """Return item vectors [N, D] as scores take them."""
        return item_vectors

    def remember(self, scores_BN: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores with what a memory adds to them; as they are where a model has none."""
        return scores_BN

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items."""
        item_vectors = self.encode_items()
        scores = self.score(self.encode_histories(item_vectors, interaction), item_vectors)
        return self.remember(scores, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])

    def encode_histories(self, item_vectors: Tensor, interaction) -> Tensor:
        """Return the last states [B, D] of RecBole's padded rows."""
        return self.encode_sequences(item_vectors, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
