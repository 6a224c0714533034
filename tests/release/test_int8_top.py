"""8-bit products with bounds find exactly what float32 finds, whatever the vectors."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from support import best_by_hand

from recbole_mpo.common.errors import DataError, DependencyError
from recbole_mpo.release import int8_top
from recbole_mpo.release.exact_top import BlockedTopK
from recbole_mpo.release.int8_top import Int8TopK

numkong = pytest.importorskip("numkong", reason="the extra [index] is not installed")

NUMBERS = some.floats(-1e6, 1e6, width=32) | some.sampled_from([0.0, 1.0, -1.0, 127.0, 1e-30, 1e-42, 1e25, -3e18])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a thousand candidates, so that there are several."""
    monkeypatch.setattr(int8_top, "BLOCK", 1024)


def hostile(name, count=3000, size=20):
    """Vectors that make quantisation hard."""
    vectors = torch.randn(count, size)
    if name == "zeros":
        vectors[::2] = 0.0
    elif name == "lengths":
        vectors *= 10.0 ** torch.linspace(-28, 12, count)[torch.randperm(count), None]
    elif name == "duplicates":
        vectors = vectors[:40].repeat(count // 40, 1)
    elif name == "equal":
        vectors[:] = vectors[0].clone()
    elif name == "one large entry":
        vectors[:, 0] = 1e4
    elif name == "tiny":
        vectors *= 1e-41
    elif name == "near ties":
        vectors = vectors[:1] + 1e-6 * vectors
    return vectors


HOSTILE = ["normal", "zeros", "lengths", "duplicates", "equal", "one large entry", "tiny", "near ties"]


@pytest.mark.parametrize("topk", [1, 10, 2500])
@pytest.mark.parametrize("name", HOSTILE)
def test_finds_what_float32_finds(small_blocks, name, topk):
    vectors = hostile(name)
    queries = torch.cat([torch.randn(4, 20), vectors[5:7], torch.zeros(1, 20)])
    excluded = [torch.randint(0, 3000, (30,)) for _ in queries]
    best, expected = (kind(vectors).search(queries, topk, excluded) for kind in (Int8TopK, BlockedTopK))
    assert torch.equal(best.rows, expected.rows) and torch.equal(best.scores, expected.scores)
    assert (best.rows[:1].tolist(), best.scores[:1].tolist()) == best_by_hand(vectors, queries[:1], topk, excluded)


@settings(max_examples=80, deadline=None)
@given(
    vectors=arrays(np.float32, some.tuples(some.integers(1, 30), some.just(5)), elements=NUMBERS),
    queries=arrays(np.float32, some.tuples(some.integers(1, 3), some.just(5)), elements=NUMBERS),
    topk=some.integers(0, 40),
)
def test_finds_what_sorting_finds_of_any_numbers(vectors, queries, topk):
    vectors, queries = torch.from_numpy(vectors), torch.from_numpy(queries)
    expected = best_by_hand(vectors, queries, topk)
    for kind in (Int8TopK, BlockedTopK):
        best = kind(vectors).search(queries, topk)
        assert (best.rows.tolist(), best.scores.tolist()) == expected


@pytest.mark.parametrize("name", HOSTILE)
def test_bounds_hold_the_scores_and_are_as_narrow_as_said(name):
    vectors = hostile(name, 520)
    queries = vectors[:8].clone()
    exact = queries.double() @ vectors.double().t()
    (block,) = Int8TopK(vectors)._blocks(queries)
    assert (block.lower.double() <= exact).all() and (exact <= block.upper.double()).all()
    lengths = torch.outer(queries.double().norm(dim=1), vectors.double().norm(dim=1))
    # Each entry is off by at most half a step, a step is the largest entry / 127.
    widest = lengths * (20**0.5 / 127 + 0.003) + 20 * 2.0**-125 * (4 + 2 * vectors.double().norm(dim=1).max())
    assert ((block.upper - block.lower).double() <= 2 * widest).all()


def test_few_candidates_get_an_exact_score(small_blocks, monkeypatch):
    vectors = torch.nn.functional.normalize(torch.randn(20_000, 300), dim=1)
    scored = []
    exact_scores = BlockedTopK.search.__globals__["exact_scores"]
    monkeypatch.setitem(
        BlockedTopK.search.__globals__,
        "exact_scores",
        lambda queries, rows: scored.append(len(rows)) or exact_scores(queries, rows),
    )
    Int8TopK(vectors).search(vectors[7:8], 10)
    assert 10 <= sum(scored) < 1000


def test_where_bounds_leave_too_many_a_block_is_scored_in_float32(small_blocks, monkeypatch):
    vectors, calls = hostile("near ties"), []
    top, plain = Int8TopK(vectors), BlockedTopK._float32
    monkeypatch.setattr(BlockedTopK, "_float32", lambda *given: calls.append(given[2]) or plain(*given))
    top.search(vectors[:1], 5)
    assert calls


def test_whole_numbers_are_summed_without_saturation():
    extreme = np.array([[127] * 300, [-127] * 300, [127, -127] * 150], dtype=np.int8)
    expected = extreme.astype(np.int64) @ extreme.astype(np.int64).T
    assert int8_top._products(extreme, extreme).tolist() == expected.tolist()


def test_a_batch_of_many_queries_is_scored_in_float32(monkeypatch):
    vectors = torch.randn(100, 6)
    top = Int8TopK(vectors)
    monkeypatch.setattr(int8_top, "_products", None)
    expected = BlockedTopK(vectors).search(vectors[:20], 5)
    assert torch.equal(top.search(vectors[:20], 5).rows, expected.rows)


def test_vectors_that_are_not_finite_are_refused_in_8_bits_too():
    with pytest.raises(DataError, match="candidate 1 is not finite"):
        Int8TopK(torch.tensor([[0.0], [torch.nan]]))


def test_a_missing_package_of_8_bit_products_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numkong", None)
    with pytest.raises(DependencyError, match=r"pip install recbole-mpo\[index\]"):
        Int8TopK(torch.randn(3, 2))


def test_few_blocks_are_computed_ahead(small_blocks, monkeypatch):
    """As many as all blocks at once would need the memory of all scores."""
    vectors = torch.randn(50_000, 8)
    index, done, seen, ahead = Int8TopK(vectors), [], [], []
    block = Int8TopK._block

    def counted(self, *arguments):
        done.append(1)
        return block(self, *arguments)

    monkeypatch.setattr(Int8TopK, "_block", counted)
    for _ in index._blocks(torch.randn(1, 8)):
        seen.append(1)
        ahead.append(len(done) - len(seen))
    assert len(seen) == len(done) == 49 and max(ahead) <= int8_top.AHEAD * torch.get_num_threads()


@pytest.mark.parametrize("name", ["normal", "zeros", "lengths"])
def test_grown_it_is_what_all_vectors_give_at_once(small_blocks, name):
    vectors = hostile(name)
    whole, grown = Int8TopK(vectors), Int8TopK(vectors[:1700]).grown(vectors[:1701]).grown(vectors)
    assert np.array_equal(whole.codes, grown.codes) and grown.largest == whole.largest
    for part in ("scales", "errors", "coarse_lengths", "lengths", "rounded_lengths"):
        assert torch.equal(getattr(whole, part), getattr(grown, part))
    queries = torch.randn(3, 20)
    assert torch.equal(whole.search(queries, 10).rows, grown.search(queries, 10).rows)
