"""What every text model of this package shares: item vectors, sequence states, scores, and the loss.

Shapes: N items (row 0 is PAD), F feature, D hidden, B sequences, L length, R rows of a packed batch, M targets,
C candidates of a sampled loss.
"""

from functools import partial
from logging import getLogger

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import check_choice
from recbole_mpo.data.batches import PackedBatch, pack_histories
from recbole_mpo.data.training_counts import counts_hash, recent_weights, training_transitions
from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.layers.cpu_kernels import Dropout
from recbole_mpo.layers.item_memory import ItemMemory, newest_items
from recbole_mpo.layers.losses import (
    CHUNK_LOGITS,
    SparseLogits,
    catalogue_cross_entropy,
    inclusion_probability,
    sampled_cross_entropy,
    unit,
)
from recbole_mpo.layers.transformer import CausalTransformerEncoder
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender

ITEM_INPUTS = ("text", "text+id", "id")
LOSSES = ("full", "chunked", "sampled")
MEMORIES = ("none", "covisit")
# From where on the full loss gets a warning: 2 GB of logits, and their softmax as much again.
MANY_LOGITS = 1 << 29


class TextSequentialRecommender(ItemVectorRecommender):
    """A causal Transformer over item vectors that come from text, from an id table, or from both.

    Everything is written on :meth:`encode_items`, :meth:`encode_sequences` and :meth:`score`. Parameter names
    are UniSRec's. The frozen feature table is a buffer that checkpoints leave out; they hold its hash.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item_input = config["item_input"]
        check_choice("item_input", self.item_input, ITEM_INPUTS)
        self.hidden_size = config["hidden_size"]
        self.temperature = config["temperature"]
        self.mask_pad = config["mask_pad"]
        self.initializer_range = config["initializer_range"]
        self.item_chunk = config["item_chunk"]
        self._choose_loss(config, dataset)
        self.memory = self._build_memory(config, dataset)
        self._build_item_encoder(config, dataset)
        self._build_sequence_encoder(config)
        self.apply(self._init_weights)

    def _choose_loss(self, config, dataset):
        self.loss = config["loss"]
        check_choice("loss", self.loss, LOSSES)
        if self.loss == "full" and self.n_items * config["train_batch_size"] > MANY_LOGITS:
            getLogger().warning(
                "loss=full holds %d x %d logits at once; loss=chunked gives the same loss in less memory, "
                "loss=sampled an estimate in less time",
                config["train_batch_size"],
                self.n_items,
            )
        if self.loss == "sampled":
            self.sampled_items = min(config["sampled_items"], self.n_items - 1)
            counts = torch.bincount(dataset.inter_feat[self.ITEM_ID], minlength=self.n_items)
            self.register_buffer("target_counts", counts, persistent=False)
            self.train_targets = len(dataset.inter_feat)

    def _build_memory(self, config, dataset) -> ItemMemory | None:
        check_choice("memory", config["memory"], MEMORIES)
        if config["memory"] == "none":
            return None
        if self.loss == "sampled" or config["train_mode"] != "packed":
            raise ConfigError("memory=covisit needs train_mode=packed and a loss over all items (loss=full or chunked)")
        counts = training_transitions(dataset)
        counts = (counts + counts.T).tocsr()
        self.counts_hash = counts_hash(counts)
        tables = (torch.from_numpy(table) for table in (counts.indptr, counts.indices, counts.data))
        return ItemMemory(*tables, recent_weights(config), config["memory_factor"])

    def _build_item_encoder(self, config, dataset):
        has_no_features = torch.arange(self.n_items) == 0
        if self.uses_text:
            self.register_buffer("item_features", dataset.item_features(), persistent=False)
            self.feature_hash = dataset.feature_hash
            self._build_adaptor(config, self.item_features.shape[1])
            if self.item_input == "text":
                has_no_features = ~self.item_features.any(dim=1)
        self.register_buffer("has_no_features", has_no_features, persistent=False)
        if self.item_input != "text":
            self.item_embedding = nn.Embedding(self.n_items, self.hidden_size, padding_idx=0)

    def _build_adaptor(self, config, feature_size: int):
        self.moe_adaptor = MoEAdaptor(
            feature_size,
            self.hidden_size,
            config["n_exps"],
            config["adaptor_dropout_prob"],
            config["noisy_gating"],
        )

    def _build_sequence_encoder(self, config):
        self.position_embedding = nn.Embedding(self.max_seq_length, self.hidden_size)
        self.LayerNorm = nn.LayerNorm(self.hidden_size, eps=config["layer_norm_eps"])
        self.dropout = Dropout(config["hidden_dropout_prob"])
        self.trm_encoder = CausalTransformerEncoder(
            config["n_layers"],
            config["n_heads"],
            self.hidden_size,
            config["inner_size"],
            config["hidden_dropout_prob"],
            config["attn_dropout_prob"],
            config["hidden_act"],
            config["layer_norm_eps"],
        )

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(mean=0.0, std=self.initializer_range)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight.data[module.padding_idx].zero_()
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.data.zero_()

    @property
    def uses_text(self) -> bool:
        """Whether item vectors are computed from text features."""
        return self.item_input != "id"

    @property
    def scores_text_alone(self) -> bool:
        """Whether an item that has text and no id can be recommended."""
        return self.item_input == "text"

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Vectors [N, D] of all items, or [len(ids), D] of the given ones.

        Items of ``item_input: text`` without text have the vector zero: they score zero and teach nothing. PAD
        stays in the softmax as in UniSRec's published code, but takes no gradient. All the adaptor could make of
        either are the whitening biases, and a cosine divides by that tiny norm: theirs would be the largest
        gradients of a step.

        Where activations of all of them would be too large, ``item_chunk`` items are encoded at a time: without
        gradient, and for ``loss: chunked``, which encodes a chunk again, with the same noise, in the backward pass.
        """
        count = self.n_items if ids is None else len(ids)
        merged = self._merged_adaptor()
        recomputes = self.loss == "chunked" and torch.is_grad_enabled()
        size = self.item_chunk if recomputes or not torch.is_grad_enabled() else count
        if count <= size:
            return self._encode_rows(slice(0, count) if ids is None else ids, merged)
        # Chunks of equal size: a product of very few rows rounds otherwise, and equal texts would no longer tie.
        size = -(-count // -(-count // size))
        chunks = [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]
        encode = partial(checkpoint, self._encode_rows, use_reentrant=False) if recomputes else self._encode_rows
        return torch.cat([encode(chunk if ids is None else ids[chunk], merged) for chunk in chunks])

    def _merged_adaptor(self):
        """What :meth:`encode_features` needs to be computed once alone, however many chunks of items there are."""
        return self.moe_adaptor.merge() if self.uses_text else None

    def _encode_rows(self, rows: slice | Tensor, merged) -> Tensor:
        vectors_ND = self._item_vectors(rows, merged)
        has_features = ~take(self.has_no_features, rows)
        is_pad = torch.zeros_like(has_features)
        if isinstance(rows, Tensor):
            is_pad = rows == 0
        elif rows.start == 0:
            is_pad[0] = True
        taught_ND = vectors_ND * has_features.to(vectors_ND.dtype).unsqueeze(1)
        return torch.addcmul(taught_ND, vectors_ND.detach(), is_pad.to(vectors_ND.dtype).unsqueeze(1))

    def _item_vectors(self, rows: slice | Tensor, merged) -> Tensor:
        if not self.uses_text:
            return take(self.item_embedding.weight, rows)
        vectors_ND = self.encode_features(take(self.item_features, rows), merged)
        return vectors_ND if self.item_input == "text" else vectors_ND + take(self.item_embedding.weight, rows)

    def encode_features(self, features_NF: Tensor, merged=None) -> Tensor:
        """Vectors [N, D] of text features alone, for items that may have no id."""
        return self.moe_adaptor(features_NF, merged)

    def encode_sequences(
        self, item_vectors: Tensor, item_seq: Tensor, lengths: Tensor, every_position: bool = False
    ) -> Tensor:
        """States of histories, left-aligned and padded with 0 on the right.

        Args:
            item_vectors: V [N, D] from :meth:`encode_items`.
            item_seq: ids [B, L].
            lengths: [B], each at least 1.
            every_position: return [B, L, D] instead of the last state [B, D].
        """
        rows, length = item_seq.shape
        positions = torch.arange(length, device=item_seq.device).expand(rows, length)
        states_BLD = self._encode_positions(item_vectors, item_seq, positions)
        if every_position:
            return states_BLD
        last = torch.arange(rows, device=item_seq.device) * length + lengths - 1
        return states_BLD.flatten(0, 1).index_select(0, last)

    def _encode_positions(self, item_vectors, items, positions, starts=None, wanted=None) -> Tensor:
        inputs_BLD = F.embedding(items, item_vectors) + self.position_embedding(positions)
        return self.trm_encoder(self.dropout(self.LayerNorm(inputs_BLD)), starts, wanted)

    def queries(self, states: Tensor) -> Tensor:
        """States [B, D] of length 1 / temperature, so that scores are cosines over it (UniSRec eq. 9)."""
        return unit(states) / self.temperature

    def candidates(self, item_vectors: Tensor) -> Tensor:
        """Item vectors [N, D] as scores take them: of length one, zero where they are zero."""
        return unit(item_vectors)

    def calculate_loss(self, interaction) -> Tensor:
        """Mean cross-entropy of the targets of a :class:`PackedBatch` or of RecBole's padded rows."""
        is_packed = isinstance(interaction, PackedBatch)
        items = interaction.items if is_packed else interaction[self.ITEM_SEQ]
        targets = interaction.targets if is_packed else interaction[self.POS_ITEM_ID]
        if self.loss == "sampled":
            return self._sampled_loss(interaction, items, targets)
        item_vectors = self.encode_items()
        states_MD = self._predicting_states(item_vectors, items, interaction)
        limit = CHUNK_LOGITS if self.loss == "chunked" else None
        added = None if self.memory is None else self._remembered(interaction, targets)
        return catalogue_cross_entropy(
            self.queries(states_MD), self.candidates(item_vectors), targets, self.mask_pad, limit, added
        )

    def _remembered(self, batch: PackedBatch, targets: Tensor) -> SparseLogits:
        """What the memory adds to the logits of a training batch's targets."""
        return self.memory(*batch.newest_items(len(self.memory.recent_weights)), targets)

    def remember(self, scores_BN: Tensor, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Scores of histories with what the memory adds, in place; as they are without a memory.

        Items beyond the catalogue, which only have text, are unknown to it.
        """
        if self.memory is None:
            return scores_BN
        recent_BK, known_BK = newest_items(item_seq, lengths, len(self.memory.recent_weights))
        return self.memory(recent_BK, known_BK & (recent_BK < self.n_items)).add_to(scores_BN)

    def _predicting_states(self, item_vectors: Tensor, items: Tensor, interaction) -> Tensor:
        """States [M, D] that predict; ``items`` are rows of ``item_vectors``, in the shape of the batch's own."""
        if not isinstance(interaction, PackedBatch):
            return self.encode_sequences(item_vectors, items, interaction[self.ITEM_SEQ_LEN])
        positions = interaction.positions
        starts = torch.arange(positions.shape[1], device=positions.device) - positions
        return self._encode_positions(item_vectors, items, positions, starts, interaction.predicting)

    def _sampled_loss(self, interaction, items: Tensor, targets: Tensor) -> Tensor:
        """Encodes the batch's items and the candidates, and no others."""
        candidates_C, inclusion_C = self._draw_candidates(targets)
        ids, rows = torch.cat([items.flatten(), candidates_C]).unique(return_inverse=True)
        item_vectors = self.encode_items(ids)
        input_rows, candidate_rows = rows.split([items.numel(), len(candidates_C)])
        states_MD = self._predicting_states(item_vectors, input_rows.view_as(items), interaction)
        return sampled_cross_entropy(
            self.queries(states_MD),
            self.candidates(F.embedding(candidate_rows, item_vectors)),
            torch.searchsorted(candidates_C, targets),
            inclusion_C,
        )

    def _draw_candidates(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The batch's targets, ``sampled_items`` uniform ones, PAD unless it is masked; and their probabilities."""
        others = self.n_items - 1
        drawn = 1 + torch.randperm(others, device=targets.device)[: self.sampled_items]
        pad = targets.new_zeros(0 if self.mask_pad else 1)
        ids = torch.cat([pad, targets, drawn]).unique()
        counts_C = self.target_counts.index_select(0, ids)
        batch_share = len(targets) / self.train_targets
        inclusion_C = inclusion_probability(counts_C, batch_share, self.sampled_items / others)
        return ids, torch.where(ids == 0, 1.0, inclusion_C)

    def encode_histories(self, item_vectors: Tensor, interaction) -> Tensor:
        """The last states [B, D] of RecBole's padded rows; in evaluations on a CPU without their padding."""
        item_seq, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        if self.training or item_seq.device.type != "cpu":
            return self.encode_sequences(item_vectors, item_seq, lengths)
        packed = pack_histories(item_seq.numpy(), lengths.numpy())
        return self._predicting_states(item_vectors, packed.items, packed)


def take(table: Tensor, rows: slice | Tensor) -> Tensor:
    """Rows of a table; a slice is a view. Unlike ``table[rows]`` its backward pass is deterministic on a CPU."""
    return table[rows] if isinstance(rows, slice) else table.index_select(0, rows)


class UniSRec(TextSequentialRecommender):
    """Text features, mixture-of-experts adaptor, causal Transformer, cosine softmax: all weights dense."""
