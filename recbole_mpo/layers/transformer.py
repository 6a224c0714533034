"""The causal post-norm Transformer of SASRec and UniSRec, over rows that hold one or several sequences.

Module names follow RecBole's ``TransformerEncoder``, so checkpoints of one load into the other. A row may be packed,
that is, hold several sequences one after another. Then the column at which its sequence starts is given for each
position, and attention does not look further back.

Shapes: R rows, L length of a row, D hidden, H heads, d = D / H, W positions to compute, Q slots per row.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_mpo.layers.cpu_kernels import Dropout, dropout
from recbole_mpo.layers.stacked import merge_stacked

ACTIVATIONS = {
    "gelu": F.gelu,
    "relu": F.relu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def attention_bias(starts_RL: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the bias of attention scores [R, 1, L, L]: 0 where position i may see position j, else -inf.

    Position i sees its sequence up to itself: ``starts[i] <= j <= i``.
    """
    column = torch.arange(starts_RL.shape[1], device=starts_RL.device)
    seen = (column >= starts_RL.unsqueeze(2)) & (column <= column.unsqueeze(1))
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
    return bias.unsqueeze(1)


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a position sees its sequence up to itself.

    Left-aligned rows need no key mask: padding is to the right of every real position and is never seen.

    Raises:
        ValueError: ``hidden_size`` is not a multiple of ``num_heads``.
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

    def forward(self, states_RLD: Tensor, bias: Tensor | None = None, positions_W: Tensor | None = None) -> Tensor:
        """Return states [R, L, D], or [W, D] if positions are given.

        Args:
            states_RLD: inputs.
            bias: result of ``attention_bias`` for packed rows; without it each row is one sequence.
            positions_W: indices into the R * L positions to compute.
        """
        weights_3DD = merge_stacked((self.query, self.key, self.value)).to(states_RLD.dtype)
        few = positions_W is not None and 2 * len(positions_W) <= states_RLD.shape[0] * states_RLD.shape[1]
        if few and not (self.training and self.attention_dropout > 0):
            context = self._context_of_few(states_RLD, weights_3DD, bias, positions_W)
        else:
            context = self._context(states_RLD, weights_3DD, bias)
            context = context if positions_W is None else _states_at(context, positions_W)
        residual = states_RLD if positions_W is None else _states_at(states_RLD, positions_W)
        return self.LayerNorm(self.out_dropout(self.dense(context)) + residual)

    def _context(self, states_RLD: Tensor, weights_3DD: Tensor, bias: Tensor | None) -> Tensor:
        shifts = torch.cat([self.query.bias, self.key.bias, self.value.bias])
        projected = F.linear(states_RLD, weights_3DD.flatten(0, 1), shifts)
        heads = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self._attend(*heads, bias).transpose(1, 2).flatten(2)

    def _context_of_few(self, states_RLD, weights_3DD, bias, positions_W) -> Tensor:
        """Return the contexts [W, D] of some positions, without computing any keys and values.

        ``q . (K h + k) = (K^T q) . h + const``, and the constant does not change a softmax. The weighted sum of
        ``V h + v`` is V times the weighted sum of h, plus v. So K is applied to the queries, and V after the sum.
        """
        query_HdD, key_HdD, value_HdD = weights_3DD.unflatten(1, (self.num_heads, -1))
        width = query_HdD.shape[1]
        query_WHd = F.linear(_states_at(states_RLD, positions_W), query_HdD.flatten(0, 1), self.query.bias)
        query_WHd = query_WHd.unflatten(1, (self.num_heads, width)) / math.sqrt(width)
        query_WHD = torch.einsum("whd,hde->whe", query_WHd, key_HdD)
        slots = _Slots(positions_W, *states_RLD.shape[:2])
        scores_WHL = slots.gather(slots.scatter(query_WHD) @ states_RLD.transpose(1, 2), self.num_heads)
        scores_WHL = scores_WHL + slots.rows_of(bias, scores_WHL.dtype)
        if torch.is_grad_enabled():
            # Add the constant, so that the key's bias gets its gradient, which is zero, in this case too.
            shift_Hd = self.key.bias.unflatten(0, (self.num_heads, width))
            scores_WHL = scores_WHL + (query_WHd * shift_Hd).sum(dim=-1, keepdim=True)
        context_WHD = slots.gather(slots.scatter(scores_WHL.softmax(dim=-1)) @ states_RLD, self.num_heads)
        context_WHd = torch.einsum("whe,hde->whd", context_WHD, value_HdD)
        return context_WHd.flatten(1) + self.value.bias

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        rate = self.attention_dropout if self.training else 0.0
        if query.device.type != "cpu" or rate == 0:
            return F.scaled_dot_product_attention(query, key, value, bias, rate, is_causal=bias is None)
        # With dropout there is no fused kernel on a CPU, and this is faster than torch's unfused one.
        if bias is None:
            starts = torch.zeros(1, query.shape[2], dtype=torch.long)
            bias = attention_bias(starts, query.dtype)
        shape = (*query.shape[:3], query.shape[2])
        scores = torch.baddbmm(
            bias.expand(shape).flatten(0, 1),
            query.flatten(0, 1),
            key.flatten(0, 1).transpose(1, 2),
            alpha=1 / math.sqrt(query.shape[-1]),
        )
        weights = dropout(scores.softmax(dim=-1), rate)
        return torch.bmm(weights, value.flatten(0, 1)).unflatten(0, query.shape[:2])


def _states_at(states_RLD: Tensor, positions_W: Tensor) -> Tensor:
    return states_RLD.flatten(0, 1).index_select(0, positions_W)


class _Slots:
    """Slots [R, Q] that hold W positions row by row, for one batched product per row."""

    def __init__(self, positions_W: Tensor, rows: int, length: int):
        row_W = torch.div(positions_W, length, rounding_mode="floor")
        sorted_W, order = row_W.sort(stable=True)
        number_W = torch.arange(len(positions_W), device=positions_W.device) - torch.searchsorted(sorted_W, sorted_W)
        self.width = int(number_W.max()) + 1 if len(positions_W) else 0
        self.place_W = torch.empty_like(positions_W).scatter_(0, order, sorted_W * self.width + number_W)
        self.rows, self.row_W, self.column_W, self.length = rows, row_W, positions_W - row_W * length, length

    def scatter(self, x_WHK: Tensor) -> Tensor:
        """Spread [W, H, K] to [R, Q * H, K], zero where a row has fewer positions."""
        empty = x_WHK.new_zeros(self.rows * self.width, *x_WHK.shape[1:])
        # Not -1: a process may have no rows at all.
        return empty.index_copy(0, self.place_W, x_WHK).view(self.rows, self.width * x_WHK.shape[1], x_WHK.shape[2])

    def gather(self, x_RQK: Tensor, heads: int) -> Tensor:
        """Collect [W, H, K] from [R, Q * H, K]."""
        return x_RQK.reshape(self.rows * self.width, heads, x_RQK.shape[2]).index_select(0, self.place_W)

    def rows_of(self, bias_R1LL: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return the rows [W, 1, L] of the bias that are added to scores [W, H, L]; without a bias, causal ones."""
        if bias_R1LL is None:
            starts = torch.zeros(1, self.length, dtype=torch.long, device=self.row_W.device)
            return attention_bias(starts, dtype)[0, 0].index_select(0, self.column_W).unsqueeze(1)
        return bias_R1LL.flatten(0, 2).index_select(0, self.row_W * self.length + self.column_W).unsqueeze(1)


class FeedForward(nn.Module):
    """Position-wise ``LayerNorm(x + dropout(W2 act(W1 x)))``.

    Raises:
        ValueError: ``activation`` is unknown.
    """

    def __init__(self, hidden_size, inner_size, hidden_dropout, activation, layer_norm_eps):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"hidden_act is {activation!r}; choose one of {', '.join(ACTIVATIONS)}")
        self.activation = ACTIVATIONS[activation]
        self.dense_1 = nn.Linear(hidden_size, inner_size)
        self.dense_2 = nn.Linear(inner_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = Dropout(hidden_dropout)

    def forward(self, states_RLD: Tensor) -> Tensor:
        """Return states of the same shape as ``states_RLD``."""
        update_RLD = self.dense_2(self.activation(self.dense_1(states_RLD)))
        return self.LayerNorm(self.dropout(update_RLD) + states_RLD)


class TransformerLayer(nn.Module):
    """Self-attention, then feed-forward, each with a residual connection and a norm after it."""

    def __init__(self, hidden_size, num_heads, inner_size, hidden_dropout, attention_dropout, activation, eps):
        super().__init__()
        self.multi_head_attention = CausalSelfAttention(hidden_size, num_heads, hidden_dropout, attention_dropout, eps)
        self.feed_forward = FeedForward(hidden_size, inner_size, hidden_dropout, activation, eps)

    def forward(self, states_RLD: Tensor, bias: Tensor | None, positions_W: Tensor | None) -> Tensor:
        """Return states [R, L, D], or [W, D] if positions are given."""
        return self.feed_forward(self.multi_head_attention(states_RLD, bias, positions_W))


class CausalTransformerEncoder(nn.Module):
    """A stack of causal Transformer layers; the defaults are UniSRec's.

    Args:
        n_layers: number of layers.
        n_heads: number of attention heads, H.
        hidden_size: size of a state, D; a multiple of ``n_heads``.
        inner_size: size of the hidden layer of the feed-forward part.
        hidden_dropout_prob: dropout after attention and after the feed-forward part.
        attn_dropout_prob: dropout of attention weights.
        hidden_act: activation of the feed-forward part: ``gelu``, ``relu``, ``swish``, ``tanh`` or ``sigmoid``.
        layer_norm_eps: added to the variance in layer norms.

    Raises:
        ValueError: ``hidden_size`` is not a multiple of ``n_heads``, or ``hidden_act`` is unknown.

    Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; UniSRec §2.2.
    """

    def __init__(
        self,
        n_layers: int = 2,
        n_heads: int = 2,
        hidden_size: int = 300,
        inner_size: int = 256,
        hidden_dropout_prob: float = 0.5,
        attn_dropout_prob: float = 0.5,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-12,
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

    def forward(self, states_RLD: Tensor, starts_RL: Tensor | None = None, positions_W: Tensor | None = None) -> Tensor:
        """Return states [R, L, D] after the last layer, or [W, D] if positions are given.

        Args:
            states_RLD: inputs.
            starts_RL: for packed rows, the column at which each position's sequence starts; without it each row is one
                left-aligned sequence.
            positions_W: indices into the R * L positions to return; the last layer computes only these.
        """
        bias = None if starts_RL is None else attention_bias(starts_RL, states_RLD.dtype)
        last = len(self.layer) - 1
        for number, layer in enumerate(self.layer):
            states_RLD = layer(states_RLD, bias, positions_W if number == last else None)
        return states_RLD
