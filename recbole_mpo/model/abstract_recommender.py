"""What the rest of the package may use of any model, and the base classes of models that rank all items.

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
from recbole_mpo.layers.ranks import ALONE, Ranks
from recbole_mpo.model.task_sum import TaskSum

# Parameters that belong to the items of one dataset: the id table, the text table that UniSRec's published code saves,
# the biases of items, the weights of evidence (memory in earlier versions); and what belongs to the tasks of training.
ITEM_TABLES = ("item_embedding.", "item_ids.", "plm_embedding.", "output_bias", "evidence.", "memory.", "objective.")


@dataclass(frozen=True)
class PretrainedWeights:
    """Content of the file that the setting ``pretrained`` names.

    Attributes:
        path: the file.
        weights: tensors by parameter name.
        settings: settings of the run that wrote the file; empty if the file has only weights.
        item_hash: hash of the run's items; None if the file does not have it.
        item_names: names of the run's items by row that have the same meaning in other datasets; empty if the file
            does not have them.
    """

    path: Path
    weights: dict[str, Tensor]
    settings: dict
    item_hash: str | None = None
    item_names: Sequence[str] = ()


class ModelContract:
    """What data, trainers and runs use of a model; the defaults are right for RecBole's own models.

    It is a mixin that comes before a model class of RecBole, as in ``class SASRec(ModelContract, RecBoleSASRec)``.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    trains_packed: ClassVar[bool] = False
    """Whether the loss takes a ``PackedBatch``; then RecBole's ``loss_type`` is not used."""
    needs_packed: ClassVar[bool] = False
    """Whether the model cannot be trained on RecBole's padded prefixes."""
    trains_histories: ClassVar[bool] = False
    """Whether the loss takes a ``HistoryBatch``."""
    shares_batches: ClassVar[bool] = False
    """Whether several processes can train the model together, each on a part of a ``PackedBatch``."""
    ranks: Ranks = ALONE
    """The processes that train the model together."""
    trims_batches: ClassVar[bool] = False
    """Whether the loss and scores of a row do not depend on the padding after its history, so that it can be cut."""
    predicts_masked_items: ClassVar[bool] = False
    """Whether RecBole's data transform masks items of the training rows."""
    is_built_from_items: ClassVar[bool] = False
    """Whether the items and the settings determine the parameters, so that a checkpoint is enough to build it."""
    item_inputs: ClassVar[tuple[str, ...]] = ()
    """Allowed values of ``item_input``; empty if the model does not have this setting."""
    reads: ClassVar[tuple[str, ...]] = ()
    """What a model without training reads: ``interactions`` or ``text``; empty for a model that is trained."""
    fresh_weights: tuple[str, ...] = ITEM_TABLES
    """Prefixes of the weights that are not taken from ``pretrained`` but initialised."""
    uses_text: bool = False
    """Whether item vectors are computed from text features."""
    stores_items: bool = False
    """Whether item vectors are stored that were computed from text before, in place of an item encoder."""
    scores_text_alone: bool = False
    """Whether an item that has text but no id can be recommended."""
    feature_hash: str | None = None
    """Hash of the text features; None without text."""
    feature_sketch: Tensor | None = None
    """Two numbers per row of the text features, by which rounding is told from other features; None without text."""
    fitted_text: dict[str, dict[str, Tensor]] | None = None
    """What was fitted to item texts, by dataset; None without text."""
    counts_hash: str | None = None
    """Hash of the counts of training interactions that the model holds; None without counts."""
    fitted_words: dict[str, Tensor] | None = None
    """What evidence of words was fitted to, by name; None without it."""
    edited_items: Sequence[int] = ()
    """Items whose text is not the one that ``fitted_words`` was fitted to."""
    awaits_fit: bool = False
    """Whether something of the model is still to be fitted after its training."""
    adds_evidence: bool = False
    """Whether scores are more than products of queries and candidates."""
    task_sum: TaskSum | None = None
    """The several tasks that the model is trained on, which may have a connection, its ``cross_task``; None for one."""
    feature_size: int = 0
    """Number of columns F of the frozen table of text features [N, F]; 0 without text."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item_tokens: np.ndarray = dataset.field2id_token[dataset.iid_field]
        """Tokens of the items [N] by internal id."""
        self.item_hash: str = dataset.item_hash
        """Hash of the items and their numbering."""

    def describe_features(self, dataset):
        """Keep what identifies the text features of a dataset, and what they were made with, for checkpoints.

        Args:
            dataset: training part of the run's dataset.
        """
        self.feature_hash, self.feature_sketch = dataset.feature_hash, dataset.feature_sketch
        self.fitted_text = dataset.fitted_text

    def end_epoch(self) -> dict[str, dict[str, float] | float]:
        """Return what the tasks measured in the steps since the last call; an empty dict for models of one task."""
        return {}

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables, unless the setting ``run_label`` gives one.

        Args:
            name: name of the model.
            config: settings of the run.
        """
        return name

    def carry_over(self, source: PretrainedWeights) -> dict[str, Tensor]:
        """Return the weights to take from another run's checkpoint that cannot be copied by name.

        Args:
            source: the checkpoint.

        Returns:
            Weights by the parameter names of this model.

        Raises:
            CheckpointError: this model cannot start from the checkpoint.
            ConfigError: the settings do not allow a start from the checkpoint.
        """
        return {}

    def check_items(self, item_hash: str | None, path: str | Path):
        """Refuse a checkpoint with other items, or with another numbering of them.

        Args:
            item_hash: hash in the checkpoint.
            path: the checkpoint's file, for the message.

        Raises:
            CheckpointError: ``item_hash`` is not that of this model.
        """
        if item_hash != self.item_hash:
            raise CheckpointError(
                f"checkpoint {path} was trained on other items, or on the same in another order (ids follow the order "
                "in the files): restore its interaction files, or start a new run from its weights with --pretrained"
            )

    def check_fresh_start(self):
        """Refuse to train from newly initialised weights if that makes no sense.

        Raises:
            ConfigError: the settings need pre-trained weights.
        """


class FullRankingRecommender(ModelContract, SequentialRecommender):
    """Base of models that score all items at once, in ``full_sort_predict``.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    input_type = InputType.POINTWISE
    trains_packed = True

    def predict(self, interaction) -> Tensor:
        """Return the scores [B] of one item per row of a batch of RecBole's rows."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)


class ItemVectorRecommender(FullRankingRecommender):
    """Base of models that score by inner products of history states and item vectors.

    Item vectors are computed once per step or evaluation. A subclass defines ``encode_items`` and ``encode_sequences``.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors [N, D] of all items, or [len(ids), D] of those with the given ids."""
        raise NotImplementedError

    def encode_sequences(self, item_vectors: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the states [B, D] of histories.

        Args:
            item_vectors: vectors of all items [N, D].
            item_seq: ids [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B].
        """
        raise NotImplementedError

    def score(self, states: Tensor, item_vectors: Tensor) -> Tensor:
        """Return the logits [B, N] of items with vectors [N, D] for states [B, D]."""
        return self.queries(states) @ self.candidates(item_vectors).t()

    def queries(self, states: Tensor) -> Tensor:
        """Return states [B, D] in the form used for scores."""
        return states

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """Return item vectors [N, D] in the form used for scores."""
        return item_vectors

    def add_evidence(self, scores_BN: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores [B, N] plus the model's evidence, if it has any.

        Args:
            scores_BN: scores of the histories.
            item_seq: ids [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B].
        """
        return scores_BN

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items for a batch of RecBole's rows."""
        item_vectors = self.encode_items()
        scores = self.score(self.encode_histories(item_vectors, interaction), item_vectors)
        return self.add_evidence(scores, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])

    def encode_histories(self, item_vectors: Tensor, interaction) -> Tensor:
        """Return the last states [B, D] of a batch of RecBole's padded rows."""
        return self.encode_sequences(item_vectors, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
