"""Scores of candidates: by item vectors and by RecBole's rows, as the models score them."""

import pytest
import torch
from support import built_run, folder_of

from recbole_mpo.common.errors import DataError
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.candidate_scores import NewRows, RowScores, VectorScores
from recbole_mpo.release.recommend import Recommender

SIZES = {
    "SASRec": {"hidden_size": 16, "inner_size": 16},
    "BERT4Rec": {"hidden_size": 16, "inner_size": 16},
    "GRU4Rec": {"hidden_size": 16, "embedding_size": 16},
    "FPMC": {"embedding_size": 8},
}
SHARED = ("data_path", "checkpoint_dir", "cache_dir", "show_progress", "use_gpu", "train_batch_size", "seed")
LATE = {"evidence": ["covisit", "words"], "evidence_fit": "late"}
HISTORIES = torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([3, 1])


@pytest.fixture
def settings(tiny_settings):
    def make(name, **changes):
        shared = {key: tiny_settings[key] for key in SHARED} | {"epochs": 1, "MAX_ITEM_LIST_LENGTH": 8}
        return {**shared, **SIZES[name], **changes}

    return make


@torch.no_grad()
@pytest.mark.parametrize("evidence", [[], ["covisit"]])
def test_vectors_score_as_the_model_does(tiny_settings, evidence):
    model = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": evidence}).model.eval()
    scores = VectorScores(model)(*HISTORIES)
    expected = model.full_sort_predict({model.ITEM_SEQ: HISTORIES[0], model.ITEM_SEQ_LEN: HISTORIES[1]})
    torch.testing.assert_close(scores, expected)


@torch.no_grad()
def test_new_rows_are_read_and_not_scored(tiny_settings):
    """A row beyond the candidates that has a candidate's vector makes the same history."""
    model = built_run("UniSRec", "tiny", (), tiny_settings).model.eval()
    scores = VectorScores(model)
    expected = scores(*HISTORIES)
    sequences = HISTORIES[0].masked_fill(HISTORIES[0] == 5, 31)
    found = scores(sequences, HISTORIES[1], NewRows(scores.item_vectors[5:6]))
    assert torch.equal(found, expected) and found.shape == (2, 31)
    more = scores.with_more(scores.item_vectors[5:7], None)
    torch.testing.assert_close(more(*HISTORIES), torch.cat([expected, expected[:, 5:7]], dim=1))
    assert len(scores.candidates) == 31


@torch.no_grad()
def test_parts_are_those_of_the_asked_candidates(tiny_settings):
    model = built_run("UniSRec", "tiny", (), {**tiny_settings, "evidence": ["covisit", "two_hop"]}).model.eval()
    scores, rows = VectorScores(model), torch.tensor([7, 3, 7])
    parts = scores.parts(*HISTORIES, rows)
    assert list(parts) == ["text", "covisit", "two_hop", "repeats"] and parts["covisit"].any()
    torch.testing.assert_close(sum(parts.values()), scores(*HISTORIES)[:, rows])


@torch.no_grad()
@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec", "GRU4Rec"])
def test_rows_are_padded_as_in_training(settings, name):
    one = built_run(name, "tiny", (), settings(name))
    rows, model = one.splits[2][[0, 1, 2]], one.model.eval()
    lengths = rows[model.ITEM_SEQ_LEN]
    scores = RowScores(model)(rows[model.ITEM_SEQ][:, : lengths.max()], lengths)
    assert torch.equal(scores, model.full_sort_predict(rows).view(3, -1)) and scores.shape == (3, 31)


@pytest.mark.parametrize("name", ["SASRec", "BERT4Rec", "GRU4Rec"])
@pytest.mark.parametrize("changes", [{}, LATE], ids=["alone", "evidence"])
def test_recboles_models_recommend_what_they_rank_first(settings, name, changes):
    path = folder_of(run(name, "tiny", (), settings(name, **changes))) / "best.pth"
    recommender = Recommender.from_checkpoint(path)
    # Longer than the model sees.
    history = [f"i{number}" for number in (3, 4, 9, 8, 7, 6, 5, 1, 2, 0)]
    found = recommender.recommend([history, history[:2]], topk=40)
    assert [len(one) for one in found] == [20, 28]
    ids = torch.tensor([[recommender.row_of[token] for token in history[-8:]]])
    with torch.no_grad():
        scores = recommender.scores(ids, torch.tensor([8]))[0]
    expected = [scores[recommender.row_of[one.token]].item() for one in found[0]]
    assert [one.score for one in found[0]] == pytest.approx(expected, abs=1e-5)
    assert [one.score for one in found[0]] == sorted((one.score for one in found[0]), reverse=True)
    assert all(one.title for one in found[0])


def test_a_model_that_reads_the_user_says_so(settings):
    path = folder_of(run("FPMC", "tiny", (), settings("FPMC"))) / "best.pth"
    with pytest.raises(DataError, match="the items of a history, but FPMC also reads 'user_id'"):
        Recommender.from_checkpoint(path).recommend([["i3"]])
