"""The causal post-norm Transformer of SASRec and UniSRec, over rows that hold one or several sequences.

Module names follow RecBole's ``TransformerEncoder``, so checkpoints of either load into the other. A row may hold
whole sequences one after another (*packed*); each position then names the column at which its sequence
starts, and attention does not look beyond it.

Shapes: R rows, L length of a row, D hidden, I inner, H heads, d = D / H.
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
    """Return what is added to attention scores [R, 1, L, L]: 0 where position i may see j, else -inf.

    Position i sees its sequence up to itself: ``starts[i] <= j <= i``.
    """
    column = torch.arange(starts_RL.shape[1], device=starts_RL.device)
    seen = (column >= starts_RL.unsqueeze(2)) & (column <= column.unsqueeze(1))
    bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
    return bias.unsqueeze(1)


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a position sees its sequence up to itself.

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

    def forward(self, states_RLD: Tensor, bias: Tensor | None = None, wanted: Tensor | None = None) -> Tensor:
        """Return states [R, L, D], or [W, D] of the ``wanted`` among the R * L positions.

        ``bias`` [R, 1, L, L] is that of packed rows; without it attention is plainly causal.
        """
        weights_3DD = merge_stacked((self.query, self.key, self.value)).to(states_RLD.dtype)
        few = wanted is not None and 2 * len(wanted) <= states_RLD.shape[0] * states_RLD.shape[1]
        if few and not (self.training and self.attention_dropout > 0):
            context = self._context_of_few(states_RLD, weights_3DD, bias, wanted)
        else:
            context = self._context(states_RLD, weights_3DD, bias)
            context = context if wanted is None else _positions(context, wanted)
        residual = states_RLD if wanted is None else _positions(states_RLD, wanted)
        return self.LayerNorm(self.out_dropout(self.dense(context)) + residual)

    def _context(self, states_RLD: Tensor, weights_3DD: Tensor, bias: Tensor | None) -> Tensor:
        shifts = torch.cat([self.query.bias, self.key.bias, self.value.bias])
        projected = F.linear(states_RLD, weights_3DD.flatten(0, 1), shifts)
        heads = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self._attend(*heads, bias).transpose(1, 2).flatten(2)

    def _context_of_few(self, states_RLD, weights_3DD, bias, wanted) -> Tensor:
        """Return contexts [W, D] of the wanted positions, without computing keys and values of any.

        ``q . (K h + k) = (K^T q) . h + const``, and a softmax does not see the constant; the weighted sum of
        ``V h + v`` is V times that of h, plus v. So K moves to the queries and V behind the sum.
        """
        query_HdD, key_HdD, value_HdD = weights_3DD.unflatten(1, (self.num_heads, -1))
        width = query_HdD.shape[1]
        query_WHd = F.linear(_positions(states_RLD, wanted), query_HdD.flatten(0, 1), self.query.bias)
        query_WHd = query_WHd.unflatten(1, (self.num_heads, width)) / math.sqrt(width)
        query_WHD = torch.einsum("whd,hde->whe", query_WHd, key_HdD)
        slots = _Slots(wanted, *states_RLD.shape[:2])
        scores_WHL = slots.gather(slots.scatter(query_WHD) @ states_RLD.transpose(1, 2), self.num_heads)
        scores_WHL = scores_WHL + slots.rows_of(bias, scores_WHL.dtype)
        if torch.is_grad_enabled():
            # The constant, so that the key's bias has its gradient, which is zero, on this path too.
            shift_Hd = self.key.bias.unflatten(0, (self.num_heads, width))
            scores_WHL = scores_WHL + (query_WHd * shift_Hd).sum(dim=-1, keepdim=True)
        context_WHD = slots.gather(slots.scatter(scores_WHL.softmax(dim=-1)) @ states_RLD, self.num_heads)
        context_WHd = torch.einsum("whe,hde->whd", context_WHD, value_HdD)
        return context_WHd.flatten(1) + self.value.bias

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        rate = self.attention_dropout if self.training else 0.0
        if query.device.type != "cpu" or rate == 0:
            return F.scaled_dot_product_attention(query, key, value, bias, rate, is_causal=bias is None)
        # With dropout a CPU has no fused kernel, and this is faster than torch's unfused one.
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


def _positions(states_RLD: Tensor, wanted: Tensor) -> Tensor:
    return states_RLD.flatten(0, 1).index_select(0, wanted)


class _Slots:
    """The places [R, Q] of W wanted positions beside others of their row, for batched products by row."""

    def __init__(self, wanted: Tensor, rows: int, length: int):
        row_W = torch.div(wanted, length, rounding_mode="floor")
        sorted_W, order = row_W.sort(stable=True)
        number_W = torch.arange(len(wanted), device=wanted.device) - torch.searchsorted(sorted_W, sorted_W)
        self.width = int(number_W.max()) + 1 if len(wanted) else 0
        self.place_W = torch.empty_like(wanted).scatter_(0, order, sorted_W * self.width + number_W)
        self.rows, self.row_W, self.column_W, self.length = rows, row_W, wanted - row_W * length, length

    def scatter(self, x_WHK: Tensor) -> Tensor:
        """Spread [W, H, K] to [R, Q * H, K], zero where a row has fewer positions."""
        empty = x_WHK.new_zeros(self.rows * self.width, *x_WHK.shape[1:])
        return empty.index_copy(0, self.place_W, x_WHK).view(self.rows, -1, x_WHK.shape[2])

    def gather(self, x_RQK: Tensor, heads: int) -> Tensor:
        """Collect [W, H, K] from [R, Q * H, K]."""
        return x_RQK.reshape(self.rows * self.width, heads, x_RQK.shape[2]).index_select(0, self.place_W)

    def rows_of(self, bias_R1LL: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return what is added to scores [W, H, L]: rows [W, 1, L] of the bias, of the causal one by default."""
        if bias_R1LL is None:
            starts = torch.zeros(1, self.length, dtype=torch.long, device=self.row_W.device)
            return attention_bias(starts, dtype)[0, 0].index_select(0, self.column_W).unsqueeze(1)
        return bias_R1LL.flatten(0, 2).index_select(0, self.row_W * self.length + self.column_W).unsqueeze(1)


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

    def forward(self, states_RLD: Tensor) -> Tensor:
        """Return states of the shape of the given ones."""
        update_RLD = self.dense_2(self.activation(self.dense_1(states_RLD)))
        return self.LayerNorm(self.dropout(update_RLD) + states_RLD)


class TransformerLayer(nn.Module):
    """Self-attention, then feed-forward, each with its residual and post-norm."""

    def __init__(self, hidden_size, num_heads, inner_size, hidden_dropout, attention_dropout, activation, eps):
        super().__init__()
        self.multi_head_attention = CausalSelfAttention(
            hidden_size, num_heads, hidden_dropout, attention_dropout, eps
        )
        self.feed_forward = FeedForward(hidden_size, inner_size, hidden_dropout, activation, eps)

    def forward(self, states_RLD: Tensor, bias: Tensor | None, wanted: Tensor | None) -> Tensor:
        """Return states as :class:`CausalSelfAttention` does."""
        return self.feed_forward(self.multi_head_attention(states_RLD, bias, wanted))


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

    def forward(
        self, states_RLD: Tensor, starts_RL: Tensor | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        """Return states [R, L, D] after the last layer, or [W, D] of the wanted positions.

        Args:
            states_RLD: inputs.
            starts_RL: the column at which each position's sequence starts, for packed rows; without it every row
                is one sequence, left-aligned.
            wanted: indices [W] into the R * L positions; the last layer spends its position-wise part on them alone.
        """
        bias = None if starts_RL is None else attention_bias(starts_RL, states_RLD.dtype)
        last = len(self.layer) - 1
        for number, layer in enumerate(self.layer):
            states_RLD = layer(states_RLD, bias, wanted if number == last else None)
        return states_RLD
