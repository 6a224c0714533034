"""The index finds most of the best, scores what it finds exactly, and refuses files that are not of its vectors."""

import json
import sys

import pytest
import torch

from recbole_mpo.common.errors import DataError, DependencyError
from recbole_mpo.release import index_top
from recbole_mpo.release.exact_top import BlockedTopK, exact_scores
from recbole_mpo.release.index_top import IndexTopK

pytest.importorskip("usearch", reason="the extra [index] is not installed")


@pytest.fixture
def vectors():
    centres = torch.randn(30, 32)
    return torch.nn.functional.normalize(centres[torch.randint(30, (2000,))] + 0.5 * torch.randn(2000, 32), dim=1)


def test_finds_most_of_the_best_with_their_exact_scores(vectors):
    queries, excluded = vectors[:20] + 0.1, [torch.arange(row, row + 30) for row in range(20)]
    best, exact = (kind(vectors).search(queries, 10, excluded) for kind in (IndexTopK, BlockedTopK))
    shared = [
        len(set(ours) & set(all_of)) for ours, all_of in zip(best.rows.tolist(), exact.rows.tolist(), strict=True)
    ]
    assert sum(shared) > 0.95 * 200
    for row, query in enumerate(queries):
        assert torch.equal(best.scores[row], exact_scores(query.expand(10, -1), vectors[best.rows[row]]))
        assert not set(best.rows[row].tolist()) & {0, *excluded[row].tolist()}
    assert (best.scores.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("topk", [0, 3, 5000])
def test_few_candidates_are_all_found(vectors, topk):
    few, queries, excluded = vectors[:9], vectors[:2], [torch.tensor([3]), torch.tensor([4, 5])]
    best, exact = (kind(few).search(queries, topk, excluded) for kind in (IndexTopK, BlockedTopK))
    assert torch.equal(best.rows, exact.rows) and torch.equal(best.scores, exact.scores)


@pytest.mark.parametrize("count", [3, 1990])
def test_few_or_many_are_left_out_for_all_queries(vectors, count, monkeypatch):
    monkeypatch.setattr(index_top, "MOST_WANTED", 1000)
    left_out, queries = torch.arange(count), vectors[:3]
    best, exact = (kind(vectors).search(queries, 2, [], left_out) for kind in (IndexTopK, BlockedTopK))
    assert torch.equal(best.rows, exact.rows)


class TestFile:
    def test_a_second_reading_finds_the_same_without_building(self, vectors, tmp_path):
        path = tmp_path / "items.index"
        first = IndexTopK(vectors, path).search(vectors[:9], 10)
        changed = path.stat().st_mtime_ns
        second = IndexTopK(vectors, path).search(vectors[:9], 10)
        assert torch.equal(first.rows, second.rows) and path.stat().st_mtime_ns == changed

    def test_a_stale_index_is_refused(self, vectors, tmp_path):
        path = tmp_path / "items.index"
        IndexTopK(vectors, path)
        vectors[77, 3] += 1e-3
        with pytest.raises(DataError, match="items.index was built from other item vectors; delete it"):
            IndexTopK(vectors, path)

    def test_a_damaged_index_is_refused(self, vectors, tmp_path):
        path = tmp_path / "items.index"
        IndexTopK(vectors, path)
        with open(path, "r+b") as file:
            file.seek(5000)
            file.write(b"damaged")
        with pytest.raises(DataError, match="is not the file that .*items.index.json describes"):
            IndexTopK(vectors, path)

    @pytest.mark.parametrize("text", [None, "{", "[1]", json.dumps({"format": 99})])
    def test_an_index_without_its_description_is_refused(self, vectors, tmp_path, text):
        path = tmp_path / "items.index"
        IndexTopK(vectors, path)
        about = tmp_path / "items.index.json"
        about.unlink() if text is None else about.write_text(text)
        with pytest.raises(DataError, match="items.index.json"):
            IndexTopK(vectors, path)


def test_a_missing_package_of_the_index_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(DependencyError, match=r"pip install recbole-mpo\[index\]"):
        IndexTopK(torch.randn(3, 2))
