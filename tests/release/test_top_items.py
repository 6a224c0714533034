"""Recommendations by each way to find the best: the same as by all scores."""

import pytest
import torch
from support import built_run

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.release.candidate_scores import VectorScores
from recbole_mpo.release.exact_top import BlockedTopK
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.release.top_items import KINDS, BestCandidates, dense_best, top_items

HISTORIES = torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([3, 1])
EXCLUDED = [torch.tensor([4, 5, 6]), torch.tensor([7])]


@pytest.fixture(autouse=True)
def extra():
    pytest.importorskip("usearch", reason="the extra [index] is not installed")
    pytest.importorskip("numkong", reason="the extra [index] is not installed")


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("topk", [5, 100])
def test_every_kind_finds_what_all_scores_say(tiny_settings, kind, topk):
    scores = VectorScores(built_run("UniSRec", "tiny", (), tiny_settings).model.eval())
    # 99 is an item of a history that is no candidate.
    excluded, left_out = [torch.tensor([4, 5, 6, 99]), torch.tensor([7])], torch.tensor([0, 1, 9])
    best = BestCandidates(scores, kind)(*HISTORIES, topk, excluded, left_out)
    dense = dense_best(scores(*HISTORIES), topk, excluded, left_out)
    assert torch.equal(best.rows > 0, dense.scores > -torch.inf) and not torch.isin(best.rows, left_out[1:]).any()
    torch.testing.assert_close(best.scores, dense.scores, rtol=1e-5, atol=1e-5)
    # Scores that differ by more than rounding have one order.
    gaps = (dense.scores.diff(dim=1).abs() > 1e-4) & dense.scores[:, 1:].isfinite()
    clear = gaps[:, 1:] & gaps[:, :-1]
    assert clear.any() and torch.equal(best.rows[:, 1:-1][clear], dense.rows[:, 1:-1][clear])


@torch.no_grad()
def test_evidence_is_part_of_the_scores_and_needs_them_all(tiny_settings):
    model = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": ["covisit"]}).model.eval()
    scores = VectorScores(model)
    best, dense = BestCandidates(scores), dense_best(scores(*HISTORIES), 9, EXCLUDED)
    assert best.top is None and torch.equal(best(*HISTORIES, 9, EXCLUDED).rows, dense.rows)
    with pytest.raises(ConfigError, match="topk_by int8 needs a model whose scores are products"):
        BestCandidates(scores, "int8")


@pytest.mark.parametrize("kind", KINDS)
def test_recommend_uses_the_chosen_kind(tiny_settings, kind):
    one = built_run("MPORec", "tiny", (), tiny_settings)
    found, plain = (
        Recommender.of(one.experiment, one.model, by).recommend([["i3", "i4"], ["i9"]], 100) for by in (kind, "float32")
    )
    assert found == plain and [len(answer) for answer in found] == [28, 29]


def test_equal_scores_come_in_the_order_of_rows():
    best = dense_best(torch.zeros(2, 50), 3, [torch.tensor([2]), torch.tensor([1, 4])])
    assert best.rows.tolist() == [[1, 3, 4], [2, 3, 5]]


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="not a number; the model has diverged"):
        dense_best(torch.tensor([[0.0, torch.nan, 1.0]]), 1, [])


def test_where_there_are_no_more_candidates_rows_are_padding():
    best = dense_best(torch.tensor([[0.0, 1.0, 2.0]]), 3, [torch.tensor([1])])
    assert best.rows.tolist() == [[2, 0, 0]] and best.scores[0, 1:].tolist() == [-torch.inf] * 2


def test_a_kind_is_known_and_only_an_index_has_a_file(tmp_path):
    vectors = torch.randn(9, 4)
    assert type(top_items(vectors)) is BlockedTopK
    with pytest.raises(ConfigError, match="topk_by 'int4' is not one of float32, int8, index"):
        top_items(vectors, "int4")
    with pytest.raises(ConfigError, match="topk_by int8 has no file"):
        top_items(vectors, "int8", tmp_path / "items.index")
    assert len(top_items(vectors, "index", tmp_path / "items.index").index) == 8
