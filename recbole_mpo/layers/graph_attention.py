"""Graph layers: neighbours drawn or taken whole, attention over them, and contrast of two views.

Shapes: V nodes, M nodes asked for, K neighbours per node, U different nodes among both, D hidden, H heads, P pairs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Neighbours gathered at once where all are taken.
GATHERED = 1 << 16


class WeightedDraw(nn.Module):
    """Draws from 0, ..., n - 1 with probabilities in proportion to weights, with replacement."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.register_buffer("cumulative", weights.double().cumsum(0), persistent=False)

    def forward(self, count: int) -> Tensor:
        """Draw ``count`` numbers."""
        total = self.cumulative[-1]
        drawn = torch.rand(count, dtype=torch.float64, device=total.device) * total
        return torch.searchsorted(self.cumulative, drawn, right=True).clamp(max=len(self.cumulative) - 1)


class PairDraw(nn.Module):
    """Draws pairs of nodes in proportion to their weights.

    Args:
        pairs: [2, P].
        weights: [P].
    """

    def __init__(self, pairs: Tensor, weights: Tensor):
        super().__init__()
        self.register_buffer("pairs", pairs, persistent=False)
        self.draw = WeightedDraw(weights)

    def forward(self, count: int) -> Tensor:
        """Draw ``count`` pairs [2, count], none where there are none."""
        return self.pairs[:, self.draw(count)] if self.pairs.shape[1] else self.pairs


class Neighbours(nn.Module):
    """Weighted neighbours of V nodes, as a CSR matrix holds them.

    Args:
        starts: [V + 1] where each node's neighbours begin.
        neighbours, weights: [nnz], a node's neighbours in ascending order.
    """

    def __init__(self, starts: Tensor, neighbours: Tensor, weights: Tensor):
        super().__init__()
        cumulative = torch.cat([weights.new_zeros(1, dtype=torch.float64), weights.double().cumsum(0)])
        tables = {"starts": starts.long(), "neighbours": neighbours.long(), "cumulative": cumulative}
        rows = torch.repeat_interleave(tables["starts"].diff())
        # In order, as those of a CSR matrix are: a pair is found by bisection.
        tables["pairs"] = rows * (len(starts) - 1) + tables["neighbours"]
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @property
    def degrees(self) -> Tensor:
        """How many neighbours each node has [V]."""
        return self.starts.diff()

    def contains(self, nodes: Tensor, candidates: Tensor) -> Tensor:
        """Return whether nodes and candidates, of one shape, are neighbours, pair by pair."""
        if len(self.pairs) == 0:
            return torch.zeros_like(nodes, dtype=torch.bool)
        wanted = nodes * (len(self.starts) - 1) + candidates
        return self.pairs[torch.searchsorted(self.pairs, wanted).clamp(max=len(self.pairs) - 1)] == wanted

    def sample(self, nodes_M: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Draw ``count`` neighbours [M, K] of each node by weight, with replacement; 1 where there are any, else 0."""
        if len(self.neighbours) == 0:
            return nodes_M.new_zeros(len(nodes_M), count), torch.zeros(len(nodes_M), count, device=nodes_M.device)
        starts, ends = self.starts[nodes_M].unsqueeze(1), self.starts[nodes_M + 1].unsqueeze(1)
        begin, total = self.cumulative[starts], self.cumulative[ends] - self.cumulative[starts]
        drawn = begin + total * torch.rand(len(nodes_M), count, dtype=torch.float64, device=nodes_M.device)
        entry = torch.searchsorted(self.cumulative, drawn.flatten(), right=True).view_as(drawn) - 1
        has_some = ends > starts
        # Rounding may put a draw one entry beside the node's.
        entry = torch.minimum(torch.maximum(entry, starts), (ends - 1).clamp(min=0))
        neighbours_MK = torch.where(has_some, self.neighbours[entry], 0)
        return neighbours_MK, has_some.expand_as(neighbours_MK).float()

    def all(self, nodes_M: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return all neighbours [M, K], K the most; each is worth its share of ``count`` draws, padding nothing."""
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

    A neighbour that is worth w counts as w neighbours.
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
        """Return what is computed once of all nodes' states [U, D], however few of them are asked for at a time.

        Projections [U, H, d], and their scores [U, H] as the node that attends and as a neighbour.
        """
        projected_UHd = self.project(states_UD).unflatten(-1, (self.heads, -1))
        return projected_UHd, (projected_UHd * self.own).sum(dim=-1), (projected_UHd * self.other).sum(dim=-1)

    def forward(self, prepared, nodes_M: Tensor, neighbours_MK: Tensor, worth_MK: Tensor) -> Tensor:
        """Return states [M, D] of some of the nodes; nodes and neighbours are rows of what was prepared."""
        projected_UHd, node_score_UH, neighbour_score_UH = prepared
        # Column 0 is the node itself, worth one neighbour.
        seen_MK = torch.cat([nodes_M.unsqueeze(1), neighbours_MK], dim=1)
        log_worth_MK = F.pad(worth_MK, (1, 0), value=1.0).log().unsqueeze(-1)
        node_scores_M1H = F.embedding(nodes_M, node_score_UH).unsqueeze(1)
        scores_MKH = F.leaky_relu(node_scores_M1H + F.embedding(seen_MK, neighbour_score_UH), 0.2)
        weights_MKH = (scores_MKH + log_worth_MK).softmax(dim=1)
        values_MKHd = F.embedding(seen_MK, projected_UHd.flatten(1)).unflatten(-1, (self.heads, -1))
        return torch.einsum("mkh,mkhd->mhd", weights_MKH, values_MKHd).flatten(1) + self.bias


class FactorisedAttention(nn.Module):
    """The aggregator of CCDR's published code: node, attention and mean, and pairwise products of the latter two.

    Attention is a softmax of inner products, in heads and without projections; pairwise products are those of a
    factorisation machine, ``((x W)^2 - x^2 W^2) / 2``.
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
        """Return the states [U, D]: nothing is computed once."""
        return states_UD

    def forward(self, states_UD: Tensor, nodes_M: Tensor, neighbours_MK: Tensor, worth_MK: Tensor) -> Tensor:
        """Return states [M, D] of some of the nodes; nodes and neighbours are rows of ``states_UD``."""
        nodes_MD = F.embedding(nodes_M, states_UD)
        seen_MKD = torch.cat([nodes_MD.unsqueeze(1), F.embedding(neighbours_MK, states_UD)], dim=1)
        worth_MK = F.pad(worth_MK, (1, 0), value=1.0)
        heads_MKHd = seen_MKD.unflatten(-1, (self.heads, -1))
        scores_MKH = (heads_MKHd * heads_MKHd[:, :1]).sum(dim=-1)
        weights_MKH = (scores_MKH + worth_MK.log().unsqueeze(-1)).softmax(dim=1)
        attended_MD = torch.einsum("mkh,mkhd->mhd", weights_MKH, heads_MKHd).flatten(1)
        mean_MD = torch.einsum("mk,mkd->md", worth_MK / worth_MK.sum(dim=1, keepdim=True), seen_MKD)
        linear_terms = zip(self.linear, (nodes_MD, attended_MD, mean_MD), strict=True)
        pairwise_terms = zip(self.pairwise, (mean_MD, attended_MD), strict=True)
        linear_MD = sum(layer(x_MD) for layer, x_MD in linear_terms)
        return linear_MD + sum(_pairwise(x_MD, layer.weight) for layer, x_MD in pairwise_terms)


def _pairwise(x_MD: Tensor, weight_DD: Tensor) -> Tensor:
    return (F.linear(x_MD, weight_DD).square() - F.linear(x_MD.square(), weight_DD.square())) / 2


AGGREGATORS = {"gat": GraphAttention, "fm_gat": FactorisedAttention}


class GraphEncoder(nn.Module):
    """Layers of an aggregator over drawn neighbours; ReLU between them.

    Args:
        layers: of AGGREGATORS, the first is applied first.
        fan_out: neighbours drawn for the last layer, the one before, ...
    """

    def __init__(self, layers: list[nn.Module], fan_out: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.fan_out = fan_out

    def forward(self, inputs, graph: Neighbours, nodes_M: Tensor, depth: int | None = None) -> Tensor:
        """Return states [M, D] of nodes; ``inputs`` gives the vectors of nodes before the first layer."""
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

    def whole(self, inputs_VD: Tensor, graph: Neighbours, wanted: int) -> Tensor:
        """Return states of the first ``wanted`` nodes with all neighbours, from the vectors of all nodes."""
        states_VD = inputs_VD
        for depth in range(1, len(self.layers) + 1):
            count = wanted if depth == len(self.layers) else len(inputs_VD)
            order = graph.degrees[:count].argsort(stable=True)
            layer = self.layers[depth - 1]
            prepared = layer.prepare(states_VD)
            chunks = [
                layer(prepared, nodes, *graph.all(nodes, self._count(depth)))
                for nodes in _of_similar_degree(order, graph.degrees[order])
            ]
            states_VD = torch.empty_like(states_VD[:count]).index_copy(0, order, torch.cat(chunks))
            states_VD = self._activated(depth, states_VD)
        return states_VD[:wanted]

    def _count(self, depth: int) -> int:
        return self.fan_out[len(self.layers) - depth]

    def _activated(self, depth: int, states: Tensor) -> Tensor:
        return states if depth == len(self.layers) else F.relu(states)


def _of_similar_degree(order: Tensor, degrees: Tensor) -> list[Tensor]:
    """Cut nodes in order of degree so that each chunk gathers about GATHERED neighbours, padding included."""
    chunks, begin, degrees = [], 0, degrees.tolist()
    while begin < len(order):
        end = begin + max(1, GATHERED // (degrees[begin] + 1))
        # The last of the chunk is the widest: all are padded to it.
        while end - begin > 1 and (end - begin) * (degrees[min(end, len(order)) - 1] + 1) > 2 * GATHERED:
            end = begin + (end - begin) // 2
        chunks.append(order[begin:end])
        begin = end
    return chunks


def contrast(
    anchors_PD: Tensor, positives_PD: Tensor, ids_P: Tensor, kinds_P: Tensor, temperature: float
) -> Tensor:
    """Return InfoNCE of pairs by cosine: each anchor has to find its positive among those of its kind.

    Args:
        ids_P: the positives' identities; another place of the same one is not a negative.
        kinds_P: pairs of other kinds are not negatives, they would be told apart too easily.
    """
    logits_PP = F.normalize(anchors_PD, dim=1) @ F.normalize(positives_PD, dim=1).t() / temperature
    is_other_kind = kinds_P.unsqueeze(1) != kinds_P
    is_same = (ids_P.unsqueeze(1) == ids_P).fill_diagonal_(False)
    logits_PP = logits_PP.masked_fill(is_other_kind | is_same, -torch.inf)
    return F.cross_entropy(logits_PP, torch.arange(len(ids_P), device=ids_P.device))


def neighbour_loss(
    states_PD: Tensor, positives_PD: Tensor, negatives_KD: Tensor, is_none_PK: Tensor, offset: Tensor
) -> Tensor:
    """Return the mean over pairs of ``-log s(i . k + b) - sum_j log(1 - s(i . j + b))``, s the sigmoid, b the offset.

    ``is_none_PK`` marks draws that are not negatives of a pair: the node itself and its neighbours. Inner products of
    vectors of one table cannot all be negative; without b, many negatives to a positive would hold them all at 0.
    """
    positive_P = F.softplus(-(states_PD * positives_PD).sum(dim=1) - offset)
    negative_PK = F.softplus(states_PD @ negatives_KD.t() + offset).masked_fill(is_none_PK, 0.0)
    return (positive_P + negative_PK.sum(dim=1)).mean()
