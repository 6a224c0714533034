"""The index finds most of the best, scores what it finds exactly, and refuses files that are not of its vectors."""

import json
import sys
import threading

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


@pytest.fixture
def hard_to_walk():
    """Vectors by name whose graph does not lead to all: close groups far apart, and many equal ones."""
    groups = torch.randn(20, 32)[torch.randint(20, (3000,))] + 0.05 * torch.randn(3000, 32)
    equal = torch.cat([torch.randn(500, 32), torch.randn(1, 32).expand(1500, 32)])
    return {"groups": groups, "equal": equal}


@pytest.mark.parametrize("name", ["groups", "equal"])
@pytest.mark.parametrize("count", [1, 5])
def test_what_the_index_does_not_find_is_searched_without_it(hard_to_walk, name, count):
    vectors = hard_to_walk[name]
    top, queries, topk = IndexTopK(vectors), vectors[-1] + torch.randn(count, 32), len(vectors) * 3 // 5
    # The case is one where the index finds fewer than it is asked for.
    found = top.index.search(index_top._codes(queries, queries.abs().amax(dim=1, keepdim=True)), topk)
    assert min(len(one.keys) for one in ([found] if count == 1 else found)) < topk
    best = top.search(queries, topk)
    for query, rows, scores in zip(queries, best.rows, best.scores, strict=True):
        assert (rows > 0).all() and len(rows.unique()) == topk
        assert torch.equal(scores, exact_scores(query.expand(topk, -1), vectors[rows]))


@pytest.mark.parametrize("count", [1, 5])
def test_few_results_are_all_there_when_many_are_left_out(hard_to_walk, count):
    vectors, left_out = hard_to_walk["groups"], torch.arange(1, 1700)
    excluded = [torch.arange(1700, 1700 + row) for row in range(count)]
    best = IndexTopK(vectors).search(vectors[-count:], 10, excluded, left_out)
    assert (best.rows >= 1700).all() and best.scores.isfinite().all()
    for row, rows in enumerate(best.rows):
        assert len(rows.unique()) == 10 and not torch.isin(rows, excluded[row]).any()


class TestFile:
    def test_a_second_reading_finds_the_same_without_building(self, vectors, tmp_path):
        path = tmp_path / "items.index"
        first = IndexTopK(vectors, path).search(vectors[:9], 10)
        changed = path.stat().st_mtime_ns
        second = IndexTopK(vectors, path).search(vectors[:9], 10)
        assert torch.equal(first.rows, second.rows) and path.stat().st_mtime_ns == changed

    def test_of_two_that_build_one_file_the_second_reads_it(self, vectors, tmp_path, monkeypatch):
        path, read, build = tmp_path / "items.index", [], IndexTopK._build
        second = threading.Thread(target=lambda: read.append(IndexTopK(vectors, path)))

        def slowly(top):
            """Build while another begins as well, and has half a second to do so."""
            if second.ident is not None:
                raise AssertionError("built twice")
            second.start()
            second.join(0.5)
            build(top)

        monkeypatch.setattr(IndexTopK, "_build", slowly)
        first = IndexTopK(vectors, path)
        second.join()
        found = [top.search(vectors[:9], 10).rows for top in (first, *read, IndexTopK(vectors, path))]
        assert len(found) == 3 and torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])

    def test_a_process_that_ends_while_it_writes_leaves_nothing_that_is_refused(self, vectors, tmp_path, monkeypatch):
        path = tmp_path / "items.index"

        def fail(*_):
            raise RuntimeError("the power is off")

        monkeypatch.setattr(index_top, "write_json", fail)
        with pytest.raises(RuntimeError, match="power"):
            IndexTopK(vectors, path)
        monkeypatch.undo()
        assert len(IndexTopK(vectors, path).index) == len(vectors) - 1

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
