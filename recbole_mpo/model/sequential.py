"""The text model, composed of an item encoder, a sequence encoder, a scoring, an objective and evidence.

Shapes: N items (row 0 is PAD), F feature, D hidden, B sequences, L length, R rows of a packed batch, M targets.
"""

import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recbole_mpo.common.values import as_list
from recbole_mpo.data.batches import PackedBatch, pack_histories
from recbole_mpo.layers.cross_task import CrossTask
from recbole_mpo.layers.initialisation import normal_weights
from recbole_mpo.layers.losses import SparseLogits
from recbole_mpo.layers.pair_evidence import Columns, ItemEvidence, Recent
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender, PretrainedWeights
from recbole_mpo.model.evidence import Evidence, evidence_labels
from recbole_mpo.model.item_encoder import ITEM_INPUTS
from recbole_mpo.model.task_sum import TaskSum

# Attributes of the model whose modules it registers under its own names.
PARTS = ("items", "sequence", "scoring")
# Prefix of the parameters of a connection of tasks.
CONNECTION = "cross_task."

logger = logging.getLogger(__name__)


class TextSequentialRecommender(ItemVectorRecommender):
    """A causal model of histories, over item vectors that come from text, from an id table, or from both.

    The model registers the modules of its parts, so that parameter names are UniSRec's whatever the parts are.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
        items: computes item vectors, such as an ``ItemEncoder``.
        sequence: computes states of histories, such as a ``TransformerSequenceEncoder``.
        scoring: how states score items, such as ``CosineScoring``.
        objective: the loss, a module called with the model and a batch, such as a ``SoftmaxObjective``.
        evidence: what tables know of pairs of items, added to the scores of the model.
        connection: connects the views that several tasks have of the states.
    """

    is_built_from_items = True
    item_inputs = ITEM_INPUTS

    def __init__(
        self,
        config,
        dataset,
        *,
        items,
        sequence,
        scoring,
        objective: nn.Module,
        evidence: Evidence | None = None,
        connection: CrossTask | None = None,
    ):
        super().__init__(config, dataset)
        self.items, self.sequence, self.scoring = items, sequence, scoring
        self.item_input: str = config["item_input"]
        self.item_chunk: int = config["item_chunk"]
        self.evidence = None
        if evidence is not None:
            evidence.join(self)
        for part in (items, sequence, scoring):
            for name, module in list(part.modules.items()):
                setattr(self, name, module)
        self.objective = objective
        if items.uses_text:
            self.describe_features(dataset)
            self.feature_size = items.feature_size
        self.apply(partial(normal_weights, std=config["initializer_range"]))
        self.cross_task = connection
        if connection is None:
            self.fresh_weights = (*self.fresh_weights, CONNECTION)

    def __setattr__(self, name: str, value):
        """Set an attribute; a module that replaces a registered one also replaces it in its part."""
        super().__setattr__(name, value)
        for part in (self.__dict__.get(kind) for kind in PARTS):
            if part is not None and name in part.modules:
                part.modules[name] = value

    @property
    def uses_text(self) -> bool:
        """Whether item vectors are computed from text features."""
        return self.items.uses_text

    @property
    def scores_text_alone(self) -> bool:
        """Whether an item that has text but no id can be recommended."""
        return self.items.item_input == "text"

    def encode_items(self, ids: Tensor | None = None, recomputes: bool = False) -> Tensor:
        """Return the vectors [N, D] of all items, or [len(ids), D] of those with the given ids.

        To save memory, ``item_chunk`` items are encoded at a time if gradients are off or ``recomputes`` is set.

        Args:
            ids: ids of items.
            recomputes: whether to encode each chunk again, with the same noise, in the backward pass.
        """
        count = self.n_items if ids is None else len(ids)
        merged = self.items.merge()
        recomputes = recomputes and torch.is_grad_enabled()
        size = self.item_chunk if recomputes or not torch.is_grad_enabled() else count
        if count <= size:
            return self._encode_rows(slice(0, count) if ids is None else ids, merged)
        # Chunks have about the same size: products of very few rows round differently, so that items with equal texts
        # would get different scores.
        size = -(-count // -(-count // size))
        chunks = [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]
        if recomputes:
            encode = partial(checkpoint, self._encode_rows, use_reentrant=False)
            return torch.cat([encode(chunk if ids is None else ids[chunk], merged) for chunk in chunks])
        vectors = None
        for chunk in chunks:
            rows = self._encode_rows(chunk if ids is None else ids[chunk], merged)
            # In their place at once: joined chunks would take twice the memory.
            vectors = rows.new_empty(count, rows.shape[1]) if vectors is None else vectors
            vectors[chunk] = rows
        return vectors

    def encode_shared_items(self, ids: Tensor | None = None, recomputes: bool = False) -> Tensor:
        """Return what :meth:`encode_items` does, where all processes ask for the same: each encodes a part."""
        if self.ranks.count == 1:
            return self.encode_items(ids, recomputes)
        ids = torch.arange(self.n_items, device=self.device) if ids is None else ids
        return self.ranks.gather(self.encode_items(ids[self.ranks.share(len(ids))], recomputes))

    def _encode_rows(self, rows: slice | Tensor, merged) -> Tensor:
        return self.scoring.rows(rows, self.items.vectors(rows, merged))

    def encode_features(self, features_NF: Tensor) -> Tensor:
        """Return the vectors [N, D] of text features [N, F], for items that may have no id."""
        return self.scoring.rows_of_text(self.items.vectors_of_text(features_NF))

    def encode_sequences(
        self, item_vectors: Tensor, item_seq: Tensor, lengths: Tensor, every_position: bool = False
    ) -> Tensor:
        """Return the last states [B, D] of histories, or the states [B, L, D] of every position.

        Args:
            item_vectors: vectors of all items [N, D], the result of ``encode_items``.
            item_seq: ids [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B], at least 1.
            every_position: whether to return the states of every position.
        """
        positions = torch.arange(item_seq.shape[1], device=item_seq.device).expand(item_seq.shape)
        last = torch.arange(len(item_seq), device=item_seq.device) * item_seq.shape[1] + lengths - 1
        return self.sequence.states(item_vectors, item_seq, positions, None, None if every_position else last)

    def encode_histories(self, item_vectors: Tensor, interaction) -> Tensor:
        """Return the last states [B, D] of RecBole's padded rows; evaluation on a CPU leaves the padding out."""
        item_seq, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        if self.training or item_seq.device.type != "cpu":
            return self.encode_sequences(item_vectors, item_seq, lengths)
        packed = pack_histories(item_seq.numpy(), lengths.numpy())
        return self.predicting_states(item_vectors, packed.items, packed)

    def predicting_states(self, item_vectors: Tensor, items: Tensor, batch) -> Tensor:
        """Return the states [M, D] that predict a batch's targets.

        Args:
            item_vectors: vectors of items.
            items: row numbers of ``item_vectors``, in the shape of the batch's items.
            batch: a ``PackedBatch`` or RecBole's padded rows.
        """
        if not isinstance(batch, PackedBatch):
            return self.encode_sequences(item_vectors, items, batch[self.ITEM_SEQ_LEN])
        starts = torch.arange(batch.positions.shape[1], device=batch.positions.device) - batch.positions
        return self.sequence.states(item_vectors, items, batch.positions, starts, batch.predicting)

    def inputs_and_targets(self, batch) -> tuple[Tensor, Tensor]:
        """Return the input items [R, L] and the targets [M] of a ``PackedBatch`` or of RecBole's padded rows."""
        if isinstance(batch, PackedBatch):
            return batch.items, batch.targets
        return batch[self.ITEM_SEQ], batch[self.POS_ITEM_ID]

    def view(self, states: Tensor, task: str | None = None) -> Tensor:
        """Return states [B, D] as a task sees them or, without a task, as items are predicted from them."""
        return states if self.cross_task is None else self.cross_task(states, task)

    def queries(self, states: Tensor, task: str | None = None) -> Tensor:
        """Return the view of states [B, D] in the form used for scores."""
        return self.scoring.queries(self.view(states, task))

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """Return item vectors [N, D] in the form used for scores."""
        return self.scoring.candidates(item_vectors)

    def calculate_loss(self, interaction) -> Tensor:
        """Return the objective's loss for a ``PackedBatch`` or RecBole's padded rows."""
        return self.objective(self, interaction)

    @property
    def task_sum(self) -> TaskSum | None:
        """The several tasks that the model is trained on; None if there is one."""
        return self.objective if isinstance(self.objective, TaskSum) else None

    def carry_over(self, source: PretrainedWeights) -> dict[str, Tensor]:
        """Return the weights of a connection of tasks that a checkpoint lacks; they change nothing before training.

        Warn of a connection that only the checkpoint has: the model begins without it.

        Args:
            source: the checkpoint.
        """
        is_stored = any(name.startswith(CONNECTION) for name in source.weights)
        if self.cross_task is None and is_stored:
            keys = [key for key in ("tasks", "cross_task", "fuse") if source.settings.get(key)]
            logger.warning(
                "%s has a connection of tasks, which this run leaves out, so it predicts from the states before it; %s "
                "keeps it",
                source.path,
                " ".join(f"--{key}={','.join(as_list(source.settings[key]))}" for key in keys) or "cross_task",
            )
        if self.cross_task is None or is_stored:
            return {}
        return {name: weight for name, weight in self.state_dict().items() if name.startswith(CONNECTION)}

    def end_epoch(self) -> dict[str, dict[str, float] | float]:
        """Return the means of what the tasks measured in the steps since the last call, by kind and task."""
        means = {} if self.task_sum is None else self.task_sum.end_epoch()
        if self.ranks.count > 1 and means:
            # Each process has its part of the losses.
            values_K = self.ranks.sum(torch.tensor([*means["task_losses"].values()], dtype=torch.float64))
            means["task_losses"] = dict(zip(means["task_losses"], values_K.tolist(), strict=True))
        return means

    @property
    def awaits_fit(self) -> bool:
        """Whether the evidence is still to be fitted."""
        return self.evidence is not None and not self.evidence.is_fitted

    def evidence_of(self, batch, columns: Callable[[], Columns] | None = None) -> SparseLogits | None:
        """Return the entries that evidence adds to the logits of a training batch; None without evidence in training.

        Args:
            batch: a ``PackedBatch``.
            columns: function that returns the items that are scored, called where there is evidence; all when left out.
        """
        if self.evidence is None or not self.evidence.trains_jointly:
            return None
        newest = batch.newest_items(batch.items.shape[1])
        return self.evidence(Recent(*newest, batch.users), columns() if columns else Columns(self.n_items))

    def id_scores(self, queries_BX: Tensor, rows_R: Tensor, vectors_RX: Tensor) -> Tensor | None:
        """Return the part [B, R] of scores that ids of items give; None if items are scored without ids.

        Args:
            queries_BX: result of ``queries``.
            rows_R: ids of the items.
            vectors_RX: their rows of ``encode_items``.
        """
        return self.scoring.id_scores(queries_BX, rows_R, vectors_RX, self.items.id_vectors(rows_R))

    @property
    def adds_evidence(self) -> bool:
        """Whether there is evidence to add to scores."""
        return self.evidence is not None and self.evidence.is_fitted

    def add_evidence(
        self, scores_BN: Tensor, item_seq: Tensor, lengths: Tensor, evidence: ItemEvidence | None = None
    ) -> Tensor:
        """Return the scores [B, N] plus the evidence, if there is any; the scores are changed in place.

        Args:
            scores_BN: scores of the histories.
            item_seq: ids [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B].
            evidence: evidence to add instead of the model's own, such as one that knows more items.
        """
        evidence = self.evidence if evidence is None else evidence
        if evidence is None or not evidence.is_fitted:
            return scores_BN
        return evidence(Recent.of(item_seq, lengths), Columns(scores_BN.shape[1])).add_to(scores_BN)

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables, which says which evidence there is."""
        return " + ".join([name, *evidence_labels(config)])
