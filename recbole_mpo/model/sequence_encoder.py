"""States of histories: a causal Transformer over item vectors with learned positions.

Shapes: B sequences, R rows, L length of a row, D hidden, W places to compute out of R * L.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.layers.cpu_kernels import Dropout
from recbole_mpo.layers.transformer import CausalTransformerEncoder


class TransformerSequenceEncoder:
    """UniSRec's sequence encoder, which is SASRec's, with modules that the model registers under UniSRec's names.

    Attributes:
        modules: the modules that the model registers, by name and in this order; the model replaces entries here when
            it replaces a module.
    """

    def __init__(self, config):
        size, eps = config["hidden_size"], config["layer_norm_eps"]
        self.modules: dict[str, nn.Module] = {
            "position_embedding": nn.Embedding(config["MAX_ITEM_LIST_LENGTH"], size),
            "LayerNorm": nn.LayerNorm(size, eps=eps),
            "dropout": Dropout(config["hidden_dropout_prob"]),
            "trm_encoder": CausalTransformerEncoder(
                config["n_layers"],
                config["n_heads"],
                size,
                config["inner_size"],
                config["hidden_dropout_prob"],
                config["attn_dropout_prob"],
                config["hidden_act"],
                eps,
            ),
        }

    def states(
        self,
        item_vectors: Tensor,
        items_RL: Tensor,
        positions_RL: Tensor,
        starts_RL: Tensor | None = None,
        places_W: Tensor | None = None,
    ) -> Tensor:
        """Return the states [W, D] of the given places, or [R, L, D] of all.

        Args:
            item_vectors: vectors of items [N, D], or longer ones of which the first D entries are for states.
            items_RL: row numbers of ``item_vectors``.
            positions_RL: position of each item within its history.
            starts_RL: for packed rows, the column at which each place's history starts; without it each row is one
                history.
            places_W: indices into the R * L places; all when left out.
        """
        size = self.modules["position_embedding"].embedding_dim
        read_ND = item_vectors if item_vectors.shape[1] == size else item_vectors[:, :size]
        inputs_RLD = self._inputs(F.embedding(items_RL, read_ND), positions_RL)
        return self.modules["trm_encoder"](inputs_RLD, starts_RL, places_W)

    def states_from_both_sides(self, vectors_BLD: Tensor, is_padding_BL: Tensor) -> Tensor:
        """Return the states [B, L, D] of left-aligned histories, where each item sees all others, later ones too."""
        states = self._inputs(vectors_BLD, torch.arange(vectors_BLD.shape[1], device=vectors_BLD.device))
        bias = torch.zeros_like(is_padding_BL, dtype=states.dtype).masked_fill_(is_padding_BL, -torch.inf)
        bias = bias[:, None, None, :].expand(-1, -1, vectors_BLD.shape[1], -1)
        for layer in self.modules["trm_encoder"].layer:
            states = layer(states, bias, None)
        return states

    def _inputs(self, vectors: Tensor, positions: Tensor) -> Tensor:
        dropout, norm = self.modules["dropout"], self.modules["LayerNorm"]
        return dropout(norm(vectors + self.modules["position_embedding"](positions)))
