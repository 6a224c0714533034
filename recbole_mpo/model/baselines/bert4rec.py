"""BERT4Rec trained on whole histories: the cloze task as its authors describe it.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer", CIKM
2019. docs/models.md says what RecBole 1.2.1 does differently, and why that is worse.

Shapes: B users, L length, D hidden, N items (row 0 is PAD, row N the mask), M masked positions.
"""

from functools import partial

import torch
import torch.nn.functional as F
from recbole.model.layers import TransformerEncoder
from torch import Tensor, nn

from recbole_mpo.data.batches import HistoryBatch
from recbole_mpo.layers.initialisation import normal_weights
from recbole_mpo.layers.losses import CHUNK_LOGITS, catalogue_cross_entropy
from recbole_mpo.model.abstract_recommender import FullRankingRecommender
from recbole_mpo.model.baselines.masking import draw_masks, draw_prefixes


class BERT4RecFair(FullRankingRecommender):
    """BERT4Rec with the cloze task on whole histories.

    A user has one row, or several if the history is longer than L + 1, so that every training item can be a label. With
    probability ``prefix_ratio`` a row is cut to a random prefix; without prefixes only the last item of a history would
    ever be predicted from earlier items alone. Then, with probability ``ft_ratio``, only the last item is masked, as in
    a recommendation. Otherwise each item is masked with probability ``mask_ratio``, and at least one.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    trains_histories = needs_packed = is_built_from_items = True
    item_inputs = ("id",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.mask_ratio, self.ft_ratio = config["mask_ratio"], config["ft_ratio"]
        self.prefix_ratio = config["prefix_ratio"]
        hidden = config["hidden_size"]
        self.mask_token = self.n_items
        self.item_embedding = nn.Embedding(self.n_items + 1, hidden, padding_idx=0)
        # One position more than a history has, so that the mask after the history does not replace an item.
        self.position_embedding = nn.Embedding(self.max_seq_length + 1, hidden)
        self.trm_encoder = TransformerEncoder(
            config["n_layers"],
            config["n_heads"],
            hidden,
            config["inner_size"],
            config["hidden_dropout_prob"],
            config["attn_dropout_prob"],
            config["hidden_act"],
            config["layer_norm_eps"],
        )
        self.LayerNorm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])
        self.output_ffn = nn.Linear(hidden, hidden)
        self.output_ln = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])
        self.output_bias = nn.Parameter(torch.zeros(self.n_items))
        self.apply(partial(normal_weights, std=config["initializer_range"], zero_padding=False))

    def calculate_loss(self, batch: HistoryBatch) -> Tensor:
        """Return the mean cross-entropy of the masked items of a batch, over all items."""
        groups = [draw_prefixes(items, self.prefix_ratio) for items in batch.groups]
        states, labels = zip(*(self._masked_states(items) for items in groups), strict=True)
        # The output bias is one more column: 1 in the states, and the bias in the items.
        states_MD = torch.cat(states)
        ones = states_MD.new_ones(len(states_MD), 1)
        table_ND = torch.cat([self.item_embedding.weight[: self.n_items], self.output_bias.unsqueeze(1)], dim=1)
        states_MD = torch.cat([states_MD, ones], dim=1)
        return catalogue_cross_entropy(states_MD, table_ND, torch.cat(labels), True, CHUNK_LOGITS)

    def _masked_states(self, items_BL: Tensor) -> tuple[Tensor, Tensor]:
        masked = draw_masks(items_BL, self.mask_ratio, self.ft_ratio)
        states_BLD = self.encode(items_BL.masked_fill(masked, self.mask_token))
        return self.transform(states_BLD[masked]), items_BL[masked]

    def encode(self, items_BL: Tensor) -> Tensor:
        """Return the states [B, L, D] of items [B, L]; every position sees all positions except padding."""
        positions = torch.arange(items_BL.shape[1], device=items_BL.device)
        inputs = F.embedding(items_BL, self.item_embedding.weight) + self.position_embedding(positions)
        hidden = self.dropout(self.LayerNorm(inputs))
        blocked = (items_BL == 0).to(hidden.dtype)[:, None, None, :] * -10000.0
        return self.trm_encoder(hidden, blocked, output_all_encoded_layers=True)[-1]

    def transform(self, states: Tensor) -> Tensor:
        """Return the states after a linear layer, GELU and a norm; these are compared with the items."""
        return self.output_ln(F.gelu(self.output_ffn(states)))

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items, from a mask that is put after each history."""
        items_BL, lengths_B = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        room = items_BL.new_zeros(len(items_BL), 1)
        items_BL = torch.cat([items_BL, room], dim=1).scatter(1, lengths_B.unsqueeze(1), self.mask_token)
        items_BL = items_BL[:, : int(lengths_B.max()) + 1]
        states_BD = self.encode(items_BL)[torch.arange(len(items_BL), device=items_BL.device), lengths_B]
        return self.transform(states_BD) @ self.item_embedding.weight[: self.n_items].t() + self.output_bias
