"""The causal post-norm Transformer of SASRec and UniSRec, over blocks of equally long sequences.

Module names follow RecBole's ``TransformerEncoder``, so checkpoints of either load into the other. Sequences
come as *blocks*: all rows of a block have one length, the blocks' positions stand one after another in a flat
tensor, and only attention looks at a block by itself. Every position-wise product is therefore one call per
step, whatever the mix of lengths, and a factorised weight is merged once.

Shapes: T positions of all blocks, B rows and L length of a block, D hidden, I inner, H heads.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.layers.dropout import Dropout

Blocks = Sequence[tuple[int, int]]

ACTIVATIONS = {
    "gelu": F.gelu,
    "relu": F.relu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which position k sees positions 1..k.

    Left-aligned rows need no key mask: padding stands to the right of every real position and is never seen.
    """

    def __init__(self, hidden_size, num_heads, hidden_dropout, attention_dropout, layer_norm_eps):
        super().__init__()
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size {hidden_size} is not a multiple of n_heads {num_heads}")
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.out_dropout = Dropout(hidden_dropout)

    def forward(self, states_TD: Tensor, blocks: Blocks) -> Tensor:
        queries, keys, values = self.query(states_TD), self.key(states_TD), self.value(states_TD)
        sizes = [rows * length for rows, length in blocks]
        contexts = [
            self._attend(*projected, rows, length)
            for projected, (rows, length) in zip(
                zip(queries.split(sizes), keys.split(sizes), values.split(sizes), strict=True),
                blocks,
                strict=True,
            )
        ]
        context_TD = contexts[0] if len(contexts) == 1 else torch.cat(contexts)
        return self.LayerNorm(self.out_dropout(self.dense(context_TD)) + states_TD)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, rows: int, length: int) -> Tensor:
        def heads(flat: Tensor) -> Tensor:
            return flat.view(rows, length, self.num_heads, -1).transpose(1, 2)

        context_BHLd = F.scaled_dot_product_attention(
            heads(query),
            heads(key),
            heads(value),
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=True,
        )
        return context_BHLd.transpose(1, 2).reshape(rows * length, -1)


class FeedForward(nn.Module):
    """Position-wise ``LayerNorm(x + dropout(W2 act(W1 x)))``."""

    def __init__(self, hidden_size, inner_size, hidden_dropout, activation, layer_norm_eps):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"hidden_act is {activation!r}; choose one of {', '.join(ACTIVATIONS)}")
        self.activation = ACTIVATIONS[activation]
        self.dense_1 = nn.Linear(hidden_size, inner_size)
        self.dense_2 = nn.Linear(inner_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = Dropout(hidden_dropout)

    def forward(self, states_TD: Tensor) -> Tensor:
        update_TD = self.dense_2(self.activation(self.dense_1(states_TD)))
        return self.LayerNorm(self.dropout(update_TD) + states_TD)


class TransformerLayer(nn.Module):
    """Self-attention, then feed-forward, each with its residual and post-norm."""

    def __init__(self, hidden_size, num_heads, inner_size, hidden_dropout, attention_dropout, activation, eps):
        super().__init__()
        self.multi_head_attention = CausalSelfAttention(
            hidden_size, num_heads, hidden_dropout, attention_dropout, eps
        )
        self.feed_forward = FeedForward(hidden_size, inner_size, hidden_dropout, activation, eps)

    def forward(self, states_TD: Tensor, blocks: Blocks) -> Tensor:
        return self.feed_forward(self.multi_head_attention(states_TD, blocks))


class CausalTransformerEncoder(nn.Module):
    """A stack of :class:`TransformerLayer`; the defaults are UniSRec's.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; UniSRec §2.2.
    """

    def __init__(
        self,
        n_layers=2,
        n_heads=2,
        hidden_size=300,
        inner_size=256,
        hidden_dropout_prob=0.5,
        attn_dropout_prob=0.5,
        hidden_act="gelu",
        layer_norm_eps=1e-12,
    ):
        super().__init__()
        self.layer = nn.ModuleList(
            TransformerLayer(
                hidden_size,
                n_heads,
                inner_size,
                hidden_dropout_prob,
                attn_dropout_prob,
                hidden_act,
                layer_norm_eps,
            )
            for _ in range(n_layers)
        )

    def forward(self, states_TD: Tensor, blocks: Blocks) -> Tensor:
        """States [T, D] after the last layer; ``blocks`` lists (rows, length) in the order of T."""
        for layer in self.layer:
            states_TD = layer(states_TD, blocks)
        return states_TD
