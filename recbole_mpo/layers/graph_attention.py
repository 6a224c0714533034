"""Graph layers: drawing or listing neighbours, attention over neighbours, and losses between pairs of nodes.

Shapes: V nodes, M nodes to compute, K neighbours per node, U distinct nodes among both, D hidden, H heads, P pairs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Number of neighbours gathered at once when all neighbours are used.
GATHERED = 1 << 16


class WeightedDraw(nn.Module):
    """Draws from 0 to n - 1 with replacement, with probabilities proportional to weights [n]."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.register_buffer("cumulative", weights.double().cumsum(0), persistent=False)

    def forward(self, count: int) -> Tensor:
        """Return ``count`` numbers drawn by weight."""
        total = self.cumulative[-1]
        drawn = torch.rand(count, dtype=torch.float64, device=total.device) * total
        return torch.searchsorted(self.cumulative, drawn, right=True).clamp(max=len(self.cumulative) - 1)


class PairDraw(nn.Module):
    """Draws pairs of nodes with replacement, each with a probability proportional to its weight.

    Args:
        pairs: [2, P].
        weights: [P].
    """

    def __init__(self, pairs: Tensor, weights: Tensor):
        super().__init__()
        self.register_buffer("pairs", pairs, persistent=False)
        self.draw = WeightedDraw(weights)

    def forward(self, count: int) -> Tensor:
        """Return ``count`` drawn pairs [2, count]; if there are no pairs, [2, 0]."""
        return self.pairs[:, self.draw(count)] if self.pairs.shape[1] else self.pairs


class Neighbours(nn.Module):
    """Weighted neighbours of V nodes, stored as a CSR matrix.

    Args:
        starts: [V + 1] where each node's neighbours begin.
        neighbours: [nnz] neighbours, those of each node in ascending order.
        weights: [nnz] weights of the neighbours.
    """

    def __init__(self, starts: Tensor, neighbours: Tensor, weights: Tensor):
        super().__init__()
        cumulative = torch.cat([weights.new_zeros(1, dtype=torch.float64), weights.double().cumsum(0)])
        tables = {"starts": starts.long(), "neighbours": neighbours.long(), "cumulative": cumulative}
        rows = torch.repeat_interleave(tables["starts"].diff())
        # In ascending order like the entries of a CSR matrix, so that bisection finds a pair.
        tables["pairs"] = rows * (len(starts) - 1) + tables["neighbours"]
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @property
    def degrees(self) -> Tensor:
        """Number of neighbours of each node [V]."""
        return self.starts.diff()

    def contains(self, nodes: Tensor, candidates: Tensor) -> Tensor:
        """Return whether each node and its candidate are neighbours; all three tensors have the same shape."""
        if len(self.pairs) == 0:
            return torch.zeros_like(nodes, dtype=torch.bool)
        pairs = nodes * (len(self.starts) - 1) + candidates
        return self.pairs[torch.searchsorted(self.pairs, pairs).clamp(max=len(self.pairs) - 1)] == pairs

    def sample(self, nodes_M: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` drawn neighbours [M, K] of each node, and their worth: 1, or 0 if it has no neighbours."""
        if len(self.neighbours) == 0:
            return nodes_M.new_zeros(len(nodes_M), count), torch.zeros(len(nodes_M), count, device=nodes_M.device)
        starts, ends = self.starts[nodes_M].unsqueeze(1), self.starts[nodes_M + 1].unsqueeze(1)
        begin, total = self.cumulative[starts], self.cumulative[ends] - self.cumulative[starts]
        drawn = begin + total * torch.rand(len(nodes_M), count, dtype=torch.float64, device=nodes_M.device)
        entry = torch.searchsorted(self.cumulative, drawn.flatten(), right=True).view_as(drawn) - 1
        has_some = ends > starts
        # Rounding may place a draw one entry outside the node's range.
        entry = torch.minimum(torch.maximum(entry, starts), (ends - 1).clamp(min=0))
        neighbours_MK = torch.where(has_some, self.neighbours[entry], 0)
        return neighbours_MK, has_some.expand_as(neighbours_MK).float()

    def all(self, nodes_M: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return all neighbours [M, K] of each node, and their worth: the share of ``count`` draws, 0 for padding."""
        starts, ends = self.starts[nodes_M].unsqueeze(1), self.starts[nodes_M + 1].unsqueeze(1)
        column = torch.arange(int((ends - starts).max()), device=nodes_M.device)
        if len(column) == 0:
            return nodes_M.new_zeros(len(nodes_M), 0), torch.zeros(len(nodes_M), 0, device=nodes_M.device)
        inside = column < ends - starts
        entry = torch.where(inside, starts + column, 0)
        total = self.cumulative[ends] - self.cumulative[starts]
        worth = (self.cumulative[entry + 1] - self.cumulative[entry]) / total.clamp(min=1e-12) * count
        return torch.where(inside, self.neighbours[entry], 0), torch.where(inside, worth, 0.0).float()


class GraphAttention(nn.Module):
    """Attention of a node over its neighbours and itself (Veličković et al., ICLR 2018, eq. 1-5).

    A neighbour with worth w counts as w neighbours.

    Args:
        size: size of a state, D.
        heads: number of heads, H.

    Raises:
        ValueError: ``size`` is not a multiple of ``heads``.
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        if size % heads:
            raise ValueError(f"hidden_size {size} is not a multiple of n_heads {heads}")
        self.heads = heads
        self.project = nn.Linear(size, size, bias=False)
        self.own = nn.Parameter(torch.empty(heads, size // heads))
        self.other = nn.Parameter(torch.empty(heads, size // heads))
        self.bias = nn.Parameter(torch.zeros(size))
        for weight in (self.project.weight, self.own, self.other):
            nn.init.xavier_uniform_(weight)

    def prepare(self, states_UD: Tensor) -> tuple[Tensor, ...]:
        """Return projections [U, H, d] of all states, and scores [U, H] as the attending node and as a neighbour."""
        projected_UHd = self.project(states_UD).unflatten(-1, (self.heads, -1))
        return projected_UHd, (projected_UHd * self.own).sum(dim=-1), (projected_UHd * self.other).sum(dim=-1)

    def forward(self, prepared, nodes_M: Tensor, neighbours_MK: Tensor, worth_MK: Tensor) -> Tensor:
        """Return the states [M, D] of some nodes; nodes and neighbours are row numbers of ``prepared``."""
        projected_UHd, node_score_UH, neighbour_score_UH = prepared
        # Column 0 is the node itself, which counts as one neighbour.
        seen_MK = torch.cat([nodes_M.unsqueeze(1), neighbours_MK], dim=1)
        log_worth_MK = F.pad(worth_MK, (1, 0), value=1.0).log().unsqueeze(-1)
        node_scores_M1H = F.embedding(nodes_M, node_score_UH).unsqueeze(1)
        scores_MKH = F.leaky_relu(node_scores_M1H + F.embedding(seen_MK, neighbour_score_UH), 0.2)
        weights_MKH = (scores_MKH + log_worth_MK).softmax(dim=1)
        values_MKHd = F.embedding(seen_MK, projected_UHd.flatten(1)).unflatten(-1, (self.heads, -1))
        return torch.einsum("mkh,mkhd->mhd", weights_MKH, values_MKHd).flatten(1) + self.bias


class FactorisedAttention(nn.Module):
    """The aggregator of CCDR's published code.

    It sums linear terms of the node, of the attention over its neighbours and itself, and of the mean of its neighbours
    alone, and pairwise terms of the latter two. Attention is a softmax of inner products, per head and without
    projections. Pairwise terms are those of a factorisation machine, ``((x W)^2 - x^2 W^2) / 2``. The mean of a node
    without neighbours is zero.

    Args:
        size: size of a state, D.
        heads: number of heads, H.

    Raises:
        ValueError: ``size`` is not a multiple of ``heads``.
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        if size % heads:
            raise ValueError(f"hidden_size {size} is not a multiple of n_heads {heads}")
        self.heads = heads
        self.linear = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(3))
        self.pairwise = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(2))
        for layer in (*self.linear, *self.pairwise):
            nn.init.xavier_uniform_(layer.weight)

    def prepare(self, states_UD: Tensor) -> Tensor:
        """Return the states [U, D] as they are: here nothing can be computed in advance."""
        return states_UD

    def forward(self, states_UD: Tensor, nodes_M: Tensor, neighbours_MK: Tensor, worth_MK: Tensor) -> Tensor:
        """Return the states [M, D] of some nodes; nodes and neighbours are row numbers of ``states_UD``."""
        nodes_MD = F.embedding(nodes_M, states_UD)
        neighbours_MKD = F.embedding(neighbours_MK, states_UD)
        seen_MKD = torch.cat([nodes_MD.unsqueeze(1), neighbours_MKD], dim=1)
        log_worth_MK = F.pad(worth_MK, (1, 0), value=1.0).log().unsqueeze(-1)
        heads_MKHd = seen_MKD.unflatten(-1, (self.heads, -1))
        scores_MKH = (heads_MKHd * heads_MKHd[:, :1]).sum(dim=-1)
        weights_MKH = (scores_MKH + log_worth_MK).softmax(dim=1)
        attended_MD = torch.einsum("mkh,mkhd->mhd", weights_MKH, heads_MKHd).flatten(1)
        shares_MK = worth_MK / worth_MK.sum(dim=1, keepdim=True).clamp(min=1e-12)
        mean_MD = torch.einsum("mk,mkd->md", shares_MK, neighbours_MKD)
        linear_terms = zip(self.linear, (nodes_MD, attended_MD, mean_MD), strict=True)
        pairwise_terms = zip(self.pairwise, (mean_MD, attended_MD), strict=True)
        linear_MD = sum(layer(x_MD) for layer, x_MD in linear_terms)
        return linear_MD + sum(_pairwise(x_MD, layer.weight) for layer, x_MD in pairwise_terms)


def _pairwise(x_MD: Tensor, weight_DD: Tensor) -> Tensor:
    return (F.linear(x_MD, weight_DD).square() - F.linear(x_MD.square(), weight_DD.square())) / 2


AGGREGATORS = {"gat": GraphAttention, "fm_gat": FactorisedAttention}


class GraphEncoder(nn.Module):
    """Layers of aggregators over neighbours, with ReLU between them.

    Args:
        layers: aggregators of ``AGGREGATORS``, in the order in which they are applied.
        fan_out: number of neighbours drawn per layer, first that of the last layer.
    """

    def __init__(self, layers: list[nn.Module], fan_out: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.fan_out = fan_out

    def forward(self, inputs, graph: Neighbours, nodes_M: Tensor, depth: int | None = None) -> Tensor:
        """Return the states [M, D] of nodes, with drawn neighbours.

        Args:
            inputs: function from nodes [U] to their vectors [U, D] before the first layer.
            graph: neighbours of all nodes.
            nodes_M: the nodes.
            depth: number of layers to apply; all when left out.
        """
        depth = len(self.layers) if depth is None else depth
        if depth == 0:
            return inputs(nodes_M)
        neighbours, worth = graph.sample(nodes_M, self._count(depth))
        needed, where = torch.unique(torch.cat([nodes_M, neighbours.flatten()]), return_inverse=True)
        states_UD = self(inputs, graph, needed, depth - 1)
        node_rows_M, neighbour_rows = where.split([len(nodes_M), neighbours.numel()])
        layer = self.layers[depth - 1]
        states_MD = layer(layer.prepare(states_UD), node_rows_M, neighbour_rows.view_as(neighbours), worth)
        return self._activated(depth, states_MD)

    def whole(self, inputs_VD: Tensor, graph: Neighbours, node_count: int) -> Tensor:
        """Return the states of the first ``node_count`` nodes, with all neighbours.

        Args:
            inputs_VD: vectors of all nodes before the first layer.
            graph: neighbours of all nodes.
            node_count: number of nodes to return.
        """
        states_VD = inputs_VD
        for depth in range(1, len(self.layers) + 1):
            count = node_count if depth == len(self.layers) else len(inputs_VD)
            order = graph.degrees[:count].argsort(stable=True)
            layer = self.layers[depth - 1]
            prepared = layer.prepare(states_VD)
            chunks = [
                layer(prepared, nodes, *graph.all(nodes, self._count(depth)))
                for nodes in _of_similar_degree(order, graph.degrees[order])
            ]
            states_VD = torch.empty_like(states_VD[:count]).index_copy(0, order, torch.cat(chunks))
            states_VD = self._activated(depth, states_VD)
        return states_VD[:node_count]

    def _count(self, depth: int) -> int:
        return self.fan_out[len(self.layers) - depth]

    def _activated(self, depth: int, states: Tensor) -> Tensor:
        return states if depth == len(self.layers) else F.relu(states)


def _of_similar_degree(order: Tensor, degrees: Tensor) -> list[Tensor]:
    """Return the nodes in chunks; with padding, each chunk has about ``GATHERED`` neighbours.

    Args:
        order: nodes in ascending order of degree.
        degrees: their degrees.
    """
    chunks, begin, degrees = [], 0, degrees.tolist()
    while begin < len(order):
        end = begin + max(1, GATHERED // (degrees[begin] + 1))
        # The last node of the chunk has the most neighbours, and the others are padded to that number.
        while end - begin > 1 and (end - begin) * (degrees[min(end, len(order)) - 1] + 1) > 2 * GATHERED:
            end = begin + (end - begin) // 2
        chunks.append(order[begin:end])
        begin = end
    return chunks


def contrast(anchors_PD: Tensor, positives_PD: Tensor, ids_P: Tensor, kinds_P: Tensor, temperature: float) -> Tensor:
    """Return the InfoNCE loss of pairs by cosine: each anchor must find its positive among those of its kind.

    Args:
        anchors_PD: vectors of the anchors.
        positives_PD: vectors of the positives.
        ids_P: ids of the positives; another pair with the same id is not a negative.
        kinds_P: kinds of the pairs; a pair of another kind is not a negative, since it is too easy to tell apart.
        temperature: divides the cosines.
    """
    logits_PP = F.normalize(anchors_PD, dim=1) @ F.normalize(positives_PD, dim=1).t() / temperature
    is_other_kind = kinds_P.unsqueeze(1) != kinds_P
    is_same = (ids_P.unsqueeze(1) == ids_P).fill_diagonal_(False)
    logits_PP = logits_PP.masked_fill(is_other_kind | is_same, -torch.inf)
    return F.cross_entropy(logits_PP, torch.arange(len(ids_P), device=ids_P.device))


def neighbour_loss(
    states_PD: Tensor, positives_PD: Tensor, negatives_KD: Tensor, not_negative_PK: Tensor, offset: Tensor
) -> Tensor:
    """Return the mean over pairs of ``-log s(i . k + b) - sum_j log(1 - s(i . j + b))``, where s is the sigmoid.

    Inner products of vectors of one table cannot all be negative. Without the offset b, many negatives per positive
    would keep all of them at 0.

    Args:
        states_PD: states of the nodes i.
        positives_PD: states of one neighbour k of each.
        negatives_KD: states of the drawn nodes j, shared by all pairs.
        not_negative_PK: which draws are not negatives of a pair, namely the node itself and its neighbours.
        offset: b.
    """
    positive_P = F.softplus(-(states_PD * positives_PD).sum(dim=1) - offset)
    negative_PK = F.softplus(states_PD @ negatives_KD.t() + offset).masked_fill(not_negative_PK, 0.0)
    return (positive_P + negative_PK.sum(dim=1)).mean()
