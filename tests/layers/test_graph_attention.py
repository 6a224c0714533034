"""Neighbours are drawn by weight, taken whole alike, and attended to; views are contrasted within their kind."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy import sparse

from recbole_mpo.layers import graph_attention as graph
from recbole_mpo.layers.graph_attention import (
    AGGREGATORS,
    GraphEncoder,
    Neighbours,
    PairDraw,
    WeightedDraw,
    contrast,
    neighbour_loss,
)


def neighbours_of(matrix) -> Neighbours:
    csr = sparse.csr_matrix(matrix)
    return Neighbours(*map(torch.from_numpy, (csr.indptr, csr.indices, csr.data)))


STAR = [[0, 1, 3, 0], [1, 0, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]]


def test_draws_follow_the_weights():
    torch.manual_seed(0)
    draw = WeightedDraw(torch.tensor([0.0, 1.0, 0.0, 3.0]))
    shares = torch.bincount(draw(20_000), minlength=4) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.25, 0.0, 0.75]), atol=0.02, rtol=0)


def test_pairs_are_drawn_by_weight_and_belong_to_no_checkpoint():
    torch.manual_seed(0)
    draw = PairDraw(torch.tensor([[4, 5, 6], [7, 8, 9]]), torch.tensor([1.0, 0.0, 3.0]))
    drawn = draw(20_000)
    assert drawn.shape == (2, 20_000) and torch.equal(drawn[1], drawn[0] + 3)
    assert set(drawn[0].tolist()) == {4, 6} and abs((drawn[0] == 6).float().mean().item() - 0.75) < 0.02
    assert PairDraw(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0))(5).shape == (2, 0)
    assert not draw.state_dict()


def test_neighbours_are_drawn_by_weight_and_only_from_their_own_node():
    torch.manual_seed(0)
    neighbours, worth = neighbours_of(STAR).sample(torch.tensor([0, 1, 2, 3]), 10_000)
    assert set(neighbours[0].tolist()) == {1, 2} and set(neighbours[1].tolist()) == {0} == set(neighbours[2].tolist())
    assert abs((neighbours[0] == 2).float().mean().item() - 0.75) < 0.02
    assert worth.sum(dim=1).tolist() == [10_000, 10_000, 10_000, 0]


def test_all_neighbours_are_worth_as_many_as_are_drawn():
    neighbours, worth = neighbours_of(STAR).all(torch.tensor([0, 2, 3]), 8)
    assert neighbours[0].tolist() == [1, 2] and worth[0].tolist() == [2, 6]
    assert neighbours[1, 0] == 0 and worth[1].tolist() == [8, 0] and worth[2].tolist() == [0, 0]


@pytest.mark.parametrize("name", AGGREGATORS)
def test_drawing_many_neighbours_comes_to_all_of_them(name):
    torch.manual_seed(0)
    table = neighbours_of(STAR)
    layer, states, nodes = AGGREGATORS[name](8, 2).double(), torch.randn(4, 8).double(), torch.arange(4)
    drawn, worth = table.sample(nodes, 40_000)
    # A node's own place is worth one neighbour, however many are drawn.
    prepared = layer.prepare(states)
    sampled = layer(prepared, nodes, drawn, worth.double() * 5 / 40_000)
    neighbours, worth = table.all(nodes, 5)
    torch.testing.assert_close(layer(prepared, nodes, neighbours, worth.double()), sampled, atol=0.02, rtol=0)


def test_attention_is_the_papers():
    torch.manual_seed(0)
    layer, states = graph.GraphAttention(6, 2).double(), torch.randn(3, 6).double()
    out = layer(layer.prepare(states), torch.tensor([1]), torch.tensor([[0, 2]]), torch.ones(1, 2).double())
    for head in range(2):
        rows = slice(3 * head, 3 * head + 3)
        projected = states @ layer.project.weight[rows].t()
        node_score, scores = layer.own[head] @ projected[1], projected @ layer.other[head]
        expected = F.leaky_relu(node_score + scores[[1, 0, 2]], 0.2).softmax(dim=0) @ projected[[1, 0, 2]]
        torch.testing.assert_close(out[0, rows], expected)


def test_the_published_aggregator_is_the_sum_of_its_five_terms():
    """Written from the formula: for node x with neighbours x_j and its attention c, and m the mean of the x_j alone,

    ``x W1 + c W2 + m W3 + ((m V1)^2 - m^2 V1^2) / 2 + ((c V2)^2 - c^2 V2^2) / 2``.
    """
    torch.manual_seed(0)
    layer, states = graph.FactorisedAttention(6, 2).double(), torch.randn(3, 6).double()
    worth = torch.tensor([[2.0, 1.0]]).double()
    out = layer(layer.prepare(states), torch.tensor([1]), torch.tensor([[0, 2]]), worth)[0]
    # Worth 2 is the same as being drawn twice.
    node, neighbours = states[1], [states[0], states[0], states[2]]
    attended = []
    for head in (slice(0, 3), slice(3, 6)):
        seen = torch.stack([x[head] for x in (*neighbours, node)])
        attended.append((seen @ node[head]).softmax(dim=0) @ seen)
    attended, mean = torch.cat(attended), sum(neighbours) / 3
    w1, w2, w3 = (part.weight for part in layer.linear)
    v1, v2 = (part.weight for part in layer.pairwise)
    expected = w1 @ node + w2 @ attended + w3 @ mean
    for weight, x in ((v1, mean), (v2, attended)):
        # All products of two different coordinates, each pair once.
        weighted = weight * x
        expected += torch.stack([sum(row[i] * row[j] for i in range(6) for j in range(i)) for row in weighted])
    torch.testing.assert_close(out, expected)


def test_the_mean_of_no_neighbours_is_zero():
    torch.manual_seed(0)
    layer, states = graph.FactorisedAttention(4, 2).double(), torch.randn(2, 4).double()
    out = layer(states, torch.tensor([1]), torch.tensor([[0, 0]]), torch.zeros(1, 2).double())[0]
    node, v2 = states[1], layer.pairwise[1].weight
    pairwise = ((v2 @ node) ** 2 - v2**2 @ node**2) / 2
    torch.testing.assert_close(out, layer.linear[0].weight @ node + layer.linear[1].weight @ node + pairwise)


def test_layers_but_the_last_are_rectified():
    torch.manual_seed(0)
    ring = torch.roll(torch.eye(4), 1, 0).numpy()
    encoder, vectors = GraphEncoder([AGGREGATORS["gat"](8, 2) for _ in range(2)], [1, 1]), torch.randn(4, 8)
    first, second = encoder.layers
    nodes, neighbours = torch.arange(4), torch.tensor([3, 0, 1, 2]).unsqueeze(1)
    inner = first(first.prepare(vectors), nodes, neighbours, torch.ones(4, 1)).relu()
    expected = second(second.prepare(inner), nodes, neighbours, torch.ones(4, 1))
    assert (expected < 0).any()
    torch.testing.assert_close(encoder.whole(vectors, neighbours_of(ring), 4), expected)


def test_neighbours_are_found_by_pair():
    table = neighbours_of(STAR)
    assert not table.state_dict()  # they come with the data, so that no checkpoint holds them
    nodes, candidates = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    assert torch.equal(table.contains(nodes, candidates), torch.tensor(STAR) > 0)


@pytest.mark.parametrize("name", AGGREGATORS)
def test_a_graph_without_edges_leaves_nodes_to_themselves(name):
    torch.manual_seed(0)
    table, vectors = neighbours_of(torch.zeros(3, 3).numpy()), torch.randn(3, 8)
    encoder = GraphEncoder([AGGREGATORS[name](8, 2)], [4])
    drawn = encoder(lambda nodes: vectors[nodes], table, torch.arange(3))
    torch.testing.assert_close(drawn, encoder.whole(vectors, table, 3))
    assert drawn.isfinite().all() and not table.contains(torch.arange(3), torch.arange(3)).any()


@pytest.mark.parametrize("name", AGGREGATORS)
def test_an_only_neighbour_is_the_whole_neighbourhood(name):
    """With one neighbour each, drawn and whole neighbourhoods are the same, layer by layer."""
    torch.manual_seed(0)
    size = 7
    ring = torch.zeros(size, size)
    ring[torch.arange(size), (torch.arange(size) + 1) % size] = 1
    encoder = GraphEncoder([AGGREGATORS[name](8, 2) for _ in range(2)], [3, 2])
    table, vectors = neighbours_of(ring.numpy()), torch.randn(size, 8)
    drawn = encoder(lambda nodes: vectors[nodes], table, torch.tensor([5, 0, 2]))
    torch.testing.assert_close(encoder.whole(vectors, table, size)[[5, 0, 2]], drawn)


def test_whole_neighbourhoods_do_not_depend_on_how_many_are_gathered_at_once(monkeypatch):
    torch.manual_seed(0)
    table = neighbours_of(sparse.random(50, 50, 0.3, random_state=0))
    encoder, vectors = GraphEncoder([AGGREGATORS["gat"](8, 2) for _ in range(2)], [3, 2]), torch.randn(50, 8)
    at_once = encoder.whole(vectors, table, 20)
    monkeypatch.setattr(graph, "GATHERED", 20)
    torch.testing.assert_close(encoder.whole(vectors, table, 20), at_once)


def test_nodes_of_similar_degree_are_taken_together_as_far_as_memory_allows(monkeypatch):
    monkeypatch.setattr(graph, "GATHERED", 12)
    same = graph._of_similar_degree(torch.arange(10), torch.full((10,), 2))
    assert [chunk.tolist() for chunk in same] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    degrees = torch.tensor([0, 0, 0, 1, 1, 2, 5, 11, 40])
    chunks = graph._of_similar_degree(torch.arange(9), degrees)
    assert torch.equal(torch.cat(chunks), torch.arange(9))
    assert all(len(chunk) == 1 or len(chunk) * (degrees[chunk[-1]] + 1) <= 24 for chunk in chunks)
    assert [len(chunk) for chunk in chunks] == [6, 2, 1]
    chunks = graph._of_similar_degree(torch.arange(12), torch.tensor([0] * 11 + [3]))
    assert [len(chunk) for chunk in chunks] == [6, 6]


def test_contrast_asks_for_the_own_positive_among_its_kind():
    anchors, positives = torch.eye(4)[:3], torch.eye(4)[[0, 1, 0]]
    ids, kinds = torch.tensor([5, 6, 5]), torch.tensor([0, 0, 1])
    # Row 0 has row 1 for a negative (row 2 is of another kind), row 1 has row 0, row 2 has none.
    each = math.log(1 + math.exp(-1 / 0.5))
    assert contrast(anchors, positives, ids, kinds, 0.5).item() == pytest.approx(2 * each / 3)
    same = contrast(anchors, positives, ids, torch.zeros(3, dtype=torch.long), 0.5).item()
    # Row 2's anchor is near nothing: its positive and row 1's are alike, row 0's is its own item again. Row 1 has
    # both others for negatives.
    assert same == pytest.approx((each + math.log(1 + 2 * math.exp(-1 / 0.5)) + math.log(2)) / 3)


def test_neighbour_loss_leaves_out_draws_that_are_not_negatives():
    states, positives, negatives = torch.randn(2, 4), torch.randn(2, 4), torch.randn(3, 4)
    is_none = torch.tensor([[False, True, False], [False, False, False]])
    offset = torch.tensor(-0.7)
    expected = 0.0
    for row in range(2):
        expected -= torch.sigmoid(states[row] @ positives[row] + offset).log()
        for column in range(3):
            if not is_none[row, column]:
                expected -= (1 - torch.sigmoid(states[row] @ negatives[column] + offset)).log()
    torch.testing.assert_close(neighbour_loss(states, positives, negatives, is_none, offset), expected / 2)


def test_heads_must_divide_the_size():
    for aggregator in AGGREGATORS.values():
        with pytest.raises(ValueError, match="hidden_size 6 is not a multiple of n_heads 4"):
            aggregator(6, 4)
