"""UniSRec's computation in the published form, on the weights of one of this package's models.

Written plainly, as a reference for benchmarks: every prefix is a row padded to 50, the experts run one by one at
each of its positions and over all items in each step, and RecBole's Transformer encodes the padded rows.

Shapes: B rows, L length, D hidden, N items.
"""

import torch
import torch.nn.functional as F
from recbole.model.layers import TransformerEncoder
from torch import Tensor, nn


class PublishedForm(nn.Module):
    """Shares the parameters of ``model`` (a dense UniSRec, text input) and computes its loss the published way."""

    def __init__(self, model, config):
        super().__init__()
        self.model = model
        encoder = TransformerEncoder(
            n_layers=config["n_layers"],
            n_heads=config["n_heads"],
            hidden_size=config["hidden_size"],
            inner_size=config["inner_size"],
            hidden_dropout_prob=config["hidden_dropout_prob"],
            attn_dropout_prob=config["attn_dropout_prob"],
            hidden_act=config["hidden_act"],
            layer_norm_eps=config["layer_norm_eps"],
        )
        for name, parameter in model.trm_encoder.named_parameters():
            owner, _, attribute = name.rpartition(".")
            setattr(encoder.get_submodule(owner), attribute, parameter)
        self.encoder = encoder
        self.input_dropout = nn.Dropout(config["hidden_dropout_prob"])
        self.feature_dropout = config["adaptor_dropout_prob"]

    def calculate_loss(self, interaction) -> Tensor:
        """Return the mean cross-entropy of RecBole's padded rows."""
        return F.cross_entropy(self.full_sort_predict(interaction), interaction[self.model.POS_ITEM_ID])

    def full_sort_predict(self, interaction) -> Tensor:
        """Logits [B, N] of RecBole's padded rows."""
        model, item_seq = self.model, interaction[self.model.ITEM_SEQ]
        inputs_BLD = self.adapt(F.embedding(item_seq, model.item_table.features))
        inputs_BLD = inputs_BLD + model.position_embedding(torch.arange(item_seq.shape[1]))
        inputs_BLD = self.input_dropout(model.LayerNorm(inputs_BLD))
        states_BLD = self.encoder(inputs_BLD, model.get_attention_mask(item_seq), output_all_encoded_layers=True)[-1]
        states_BD = model.gather_indexes(states_BLD, interaction[model.ITEM_SEQ_LEN] - 1)
        items_ND = F.normalize(self.adapt(model.item_table.features), dim=1)
        return F.normalize(states_BD, dim=1) @ items_ND.t() / model.scoring.temperature

    def adapt(self, features: Tensor) -> Tensor:
        """Item vectors [..., D] of features [..., F], one expert after another."""
        adaptor = self.model.moe_adaptor
        gates = adaptor.gates(features).unsqueeze(-1)
        outputs = [
            expert.lin(F.dropout(features, self.feature_dropout, self.training) - expert.bias).unsqueeze(-2)
            for expert in adaptor.experts
        ]
        return (gates * torch.cat(outputs, dim=-2)).sum(dim=-2)
