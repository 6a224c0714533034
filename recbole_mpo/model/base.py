"""What every text model of this package shares: item vectors, sequence states, scores, and the loss.

Shapes: N items (row 0 is PAD), F feature, D hidden, B sequences, L length, T positions of a packed batch,
M targets.
"""

import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_mpo.data.loader import PackedBatch
from recbole_mpo.errors import ConfigError
from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.layers.dropout import Dropout
from recbole_mpo.layers.encoder import CausalTransformerEncoder
from recbole_mpo.layers.losses import cosine_logits, full_cross_entropy

ITEM_INPUTS = ("text", "text+id", "id")


class TextSequentialRecommender(SequentialRecommender):
    """A causal Transformer over item vectors that come from text, from an id table, or from both.

    Everything is written on :meth:`encode_items`, :meth:`encode_sequences` and :meth:`score`. Parameter names
    are UniSRec's. The frozen feature table is a buffer that checkpoints leave out; they hold its hash.
    """

    input_type = InputType.POINTWISE
    trains_packed = True

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item_input = config["item_input"]
        if self.item_input not in ITEM_INPUTS:
            raise ConfigError(f"item_input is {self.item_input!r}; choose one of {', '.join(ITEM_INPUTS)}")
        self.hidden_size = config["hidden_size"]
        self.temperature = config["temperature"]
        self.mask_pad = config["mask_pad"]
        self.initializer_range = config["initializer_range"]
        self._build_item_encoder(config, dataset)
        self._build_sequence_encoder(config)
        self.apply(self._init_weights)

    def _build_item_encoder(self, config, dataset):
        has_no_features = torch.arange(self.n_items) == 0
        if self.uses_text:
            self.register_buffer("item_features", dataset.item_features(), persistent=False)
            self.feature_hash = dataset.feature_hash
            self.moe_adaptor = MoEAdaptor(
                self.item_features.shape[1],
                self.hidden_size,
                config["n_exps"],
                config["adaptor_dropout_prob"],
                config["noisy_gating"],
            )
            if self.item_input == "text":
                has_no_features = ~self.item_features.any(dim=1)
        self.register_buffer("has_no_features", has_no_features, persistent=False)
        if self.item_input != "text":
            self.item_embedding = nn.Embedding(self.n_items, self.hidden_size, padding_idx=0)

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

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Vectors [N, D] of all items, or [len(ids), D] of the given ones.

        Items of ``item_input: text`` without text have the vector zero: they score zero and teach nothing. PAD
        stays in the softmax as in UniSRec's published code, but takes no gradient. All the adaptor could make of
        either are the whitening biases, and a cosine divides by that tiny norm: theirs would be the largest
        gradients of a step.
        """
        vectors_ND = self._item_vectors(ids)
        rows = torch.arange(self.n_items, device=vectors_ND.device) if ids is None else ids
        blank = self.has_no_features if ids is None else self.has_no_features.index_select(0, ids)
        constant_ND = vectors_ND.detach() * (rows == 0).unsqueeze(-1)
        return torch.where(blank.unsqueeze(-1), constant_ND, vectors_ND)

    def _item_vectors(self, ids: Tensor | None) -> Tensor:
        if not self.uses_text:
            return self._id_vectors(ids)
        features = self.item_features if ids is None else self.item_features.index_select(0, ids)
        vectors_ND = self.encode_features(features)
        return vectors_ND if self.item_input == "text" else vectors_ND + self._id_vectors(ids)

    def _id_vectors(self, ids: Tensor | None) -> Tensor:
        table = self.item_embedding.weight
        return table if ids is None else F.embedding(ids, table)

    def encode_features(self, features_NF: Tensor) -> Tensor:
        """Vectors [N, D] of text features alone, for items that may have no id."""
        return self.moe_adaptor(features_NF)

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
        positions = torch.arange(length, device=item_seq.device).expand(rows, length).reshape(-1)
        states_TD = self._encode_blocks(item_vectors, item_seq.reshape(-1), positions, [(rows, length)])
        if every_position:
            return states_TD.view(rows, length, -1)
        last = torch.arange(rows, device=item_seq.device) * length + lengths - 1
        return states_TD.index_select(0, last)

    def _encode_blocks(self, item_vectors: Tensor, items: Tensor, positions: Tensor, blocks) -> Tensor:
        inputs_TD = F.embedding(items, item_vectors) + self.position_embedding(positions)
        return self.trm_encoder(self.dropout(self.LayerNorm(inputs_TD)), blocks)

    def score(self, states: Tensor, item_vectors: Tensor) -> Tensor:
        """Logits [B, N]: cosine similarity over the temperature."""
        return cosine_logits(states, item_vectors, self.temperature)

    def calculate_loss(self, interaction) -> Tensor:
        """Mean cross-entropy of the targets of a :class:`PackedBatch` or of RecBole's padded rows."""
        item_vectors = self.encode_items()
        if isinstance(interaction, PackedBatch):
            states_TD = self._encode_blocks(
                item_vectors, interaction.items, interaction.positions, interaction.blocks
            )
            states, targets = states_TD.index_select(0, interaction.predicting), interaction.targets
        else:
            states = self.encode_histories(item_vectors, interaction)
            targets = interaction[self.POS_ITEM_ID]
        return full_cross_entropy(self.score(states, item_vectors), targets, self.mask_pad)

    def predict(self, interaction) -> Tensor:
        """Scores [B] of one item per row."""
        item_vectors = self.encode_items()
        states = self.encode_histories(item_vectors, interaction)
        return self.score(states, item_vectors).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def full_sort_predict(self, interaction) -> Tensor:
        """Scores [B, N] of all items."""
        item_vectors = self.encode_items()
        return self.score(self.encode_histories(item_vectors, interaction), item_vectors)

    def encode_histories(self, item_vectors: Tensor, interaction) -> Tensor:
        """The last states [B, D] of RecBole's padded rows."""
        return self.encode_sequences(item_vectors, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
