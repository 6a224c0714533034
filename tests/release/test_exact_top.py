"""The best candidates by blocks: those of all scores sorted, whatever the vectors, ties, exclusions and blocks."""

import pytest
import torch
from support import best_by_hand

from recbole_mpo.common.errors import DataError
from recbole_mpo.release import exact_top
from recbole_mpo.release.exact_top import BlockedTopK, exact_scores, lengths_of


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a thousand candidates, so that there are several."""
    monkeypatch.setattr(exact_top, "BLOCK", 1024)


def same(best, expected):
    return (best.rows.tolist(), best.scores.tolist()) == expected


@pytest.mark.parametrize("batch", [1, 7])
def test_finds_what_sorting_all_scores_finds(small_blocks, batch):
    vectors, queries = torch.randn(5000, 24), torch.randn(batch, 24)
    excluded = [torch.randint(0, 5000, (50,)) for _ in queries]
    best = BlockedTopK(vectors).search(queries, 20, excluded)
    assert same(best, best_by_hand(vectors, queries, 20, excluded))
    dense = queries @ vectors.t()
    dense[:, 0] = -torch.inf
    for row, rows in enumerate(excluded):
        dense[row, rows] = -torch.inf
    assert torch.equal(best.rows, dense.topk(20, dim=1).indices)
    torch.testing.assert_close(best.scores, dense.topk(20, dim=1).values)


def test_of_equal_scores_the_lower_row_comes_first(small_blocks):
    vectors = torch.randint(-1, 2, (4000, 3)).float()
    queries = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, -1.0, 1.0]])
    best = BlockedTopK(vectors).search(queries, 300)
    scores = queries @ vectors.t()
    scores[:, 0] = -torch.inf
    expected = scores.argsort(dim=1, descending=True, stable=True)[:, :300]
    assert torch.equal(best.rows, expected) and torch.equal(best.scores, scores.gather(1, expected))
    assert best.rows[1].tolist() == list(range(1, 301))


def test_answers_do_not_depend_on_batch_block_or_threads(monkeypatch):
    vectors, queries = torch.randn(3000, 65), torch.randn(9, 65)
    best = BlockedTopK(vectors).search(queries, 30)
    monkeypatch.setattr(exact_top, "BLOCK", 1100)
    alone = [BlockedTopK(vectors).search(query, 30) for query in queries.split(1)]
    assert torch.equal(best.rows, torch.cat([one.rows for one in alone]))
    assert torch.equal(best.scores, torch.cat([one.scores for one in alone]))


@pytest.mark.parametrize("size", [1, 7, 16, 300, 769])
def test_a_pairs_score_does_not_depend_on_the_others(size):
    queries, vectors = torch.randn(2, 500, size)
    together = exact_scores(queries, vectors)
    alone = torch.cat([exact_scores(queries[row : row + 1], vectors[row : row + 1]) for row in range(500)])
    assert torch.equal(together, alone)


def test_more_than_there_are_leaves_places_empty():
    vectors, queries = torch.randn(6, 4), torch.randn(2, 4)
    best = BlockedTopK(vectors).search(queries, 50, [torch.tensor([2, 3, 3, 77]), torch.tensor([], dtype=torch.long)])
    assert best.rows.shape == (2, 6)
    assert [(row > 0).sum().item() for row in best.rows] == [3, 5]
    assert torch.equal(best.scores.isfinite(), best.rows > 0) and not {2, 3} & set(best.rows[0].tolist())


@pytest.mark.parametrize(("count", "batch", "topk"), [(1, 2, 3), (5, 0, 3), (5, 2, 0), (0, 1, 4)])
def test_nothing_to_find(count, batch, topk):
    best = BlockedTopK(torch.randn(count, 4)).search(torch.randn(batch, 4), topk)
    assert best.rows.shape == (batch, min(topk, count)) and not best.rows.any()


def test_some_are_left_out_for_all_queries(small_blocks):
    vectors, queries = torch.randn(3000, 8), torch.randn(3, 8)
    kept = torch.tensor([2999, 7, 1500])
    left_out = torch.tensor(sorted(set(range(3000)) - set(kept.tolist())))
    best = BlockedTopK(vectors).search(queries, 4, [torch.tensor([7])] * 3, left_out)
    assert same(best, best_by_hand(vectors, queries, 4, [torch.cat([left_out, kept[1:2]])] * 3))
    assert all(set(row) == {2999, 1500, 0} for row in best.rows.tolist())


def test_scores_that_overflow_still_have_an_order():
    vectors = torch.tensor([[0.0, 0.0], [1e30, 0.0], [1e30, 1e30], [-1e30, 1.0], [1.0, 0.0]])
    best = BlockedTopK(vectors).search(torch.tensor([[1e20, -1e20], [1e-20, 0.0]]), 3)
    assert best.rows.tolist() == [[1, 4, 2], [1, 2, 4]]
    assert best.scores[0].tolist() == [torch.inf, torch.tensor(1e20).item(), 0.0]


def test_products_in_fewer_bits_have_wider_bounds(monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    vectors, queries = torch.randn(300, 16), torch.randn(2, 16)
    top = BlockedTopK(vectors)
    block = top._float32(queries, 0, 300)
    rounded = queries.bfloat16().float() @ vectors.bfloat16().float().t()
    assert ((block.lower <= rounded) & (rounded <= block.upper)).all()
    assert same(top.search(queries, 9), best_by_hand(vectors, queries, 9))


def test_vectors_and_queries_that_are_not_finite_are_refused():
    vectors = torch.randn(5, 3)
    with pytest.raises(DataError, match="a query is not finite"):
        BlockedTopK(vectors).search(torch.tensor([[1.0, torch.nan, 0.0]]), 2)
    vectors[3, 1] = torch.inf
    with pytest.raises(DataError, match="candidate 3 is not finite"):
        BlockedTopK(vectors)


def test_lengths_do_not_overflow():
    assert lengths_of(torch.tensor([[3e30, 4e30], [0.0, 0.0]])).tolist() == pytest.approx([5e30, 0.0])


def test_grown_it_is_what_all_vectors_give_at_once():
    vectors = torch.randn(700, 5) * torch.arange(700.0)[:, None]
    whole, grown = BlockedTopK(vectors), BlockedTopK(vectors[:600]).grown(vectors)
    assert torch.equal(whole.rounded_lengths, grown.rounded_lengths) and whole.largest == grown.largest
    best, expected = (top.search(vectors[650:653], 9) for top in (grown, whole))
    assert torch.equal(best.rows, expected.rows) and torch.equal(best.scores, expected.scores)
    with pytest.raises(DataError, match="is not finite"):
        whole.grown(torch.cat([vectors, torch.full((1, 5), torch.nan)]))
