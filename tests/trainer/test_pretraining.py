"""Validation on several domains: each target among its own domain's items, and every domain counts the same."""

import numpy as np
import pytest
import torch
from support import LetterEncoder, built_run

from recbole_mpo.common.rank_gains import rank_gains


@pytest.fixture
def built(tiny_settings, tiny_path, make_dataset, monkeypatch):
    make_dataset(tiny_path, "other", users=90, items=40, seed=1)
    LetterEncoder.replace_all(monkeypatch)
    return built_run("MPORec", "tiny+other", (), {**tiny_settings, "domains": ["tiny", "other"]})


@torch.no_grad()
def ranks_by_hand(model, held_out):
    """One history at a time, with the items of the whole mixture, of which those of the domain are compared."""
    vectors = model.encode_items()
    ranks = []
    for history, length, target in zip(held_out.histories, held_out.lengths, held_out.targets, strict=True):
        items = held_out.items[history[:length]].unsqueeze(0)
        states = model.encode_sequences(vectors, items, length.unsqueeze(0))
        scores = (model.queries(states) @ model.candidates(vectors).t())[0, held_out.items[1:]]
        ranks.append(int((scores >= scores[target - 1] - 1e-6).sum()))
    return ranks


def test_ranks_are_those_among_the_items_of_the_domain(built, tmp_path):
    trainer = built.trainer(tmp_path)
    built.model.eval()
    for held_out in built.splits[1]:
        ranks = trainer.ranks(held_out)
        assert len(ranks) == len(held_out) and ranks.max() <= held_out.item_num - 1
        assert np.abs(ranks - ranks_by_hand(built.model, held_out)).max() <= 1


def test_rows_that_are_ranked_in_parts_are_ranked_the_same(built, tmp_path):
    trainer = built.trainer(tmp_path)
    built.model.eval()
    other = list(built.splits[1])[1]
    whole = trainer.ranks(other)
    trainer.test_batch_size = 2
    assert np.array_equal(trainer.ranks(other), whole) and len(whole) == 9


def test_a_metric_is_the_mean_over_the_domains_whatever_their_size(built, tmp_path):
    trainer = built.trainer(tmp_path)
    metrics = trainer.evaluate(built.splits[1], load_best_model=False)
    of_domains = [metrics["tiny/ndcg@10"], metrics["other/ndcg@10"]]
    assert [len(one) for one in built.splits[1]] == [4, 9] and metrics["ndcg@10"] == np.mean(of_domains)
    tiny = list(built.splits[1])[0]
    assert metrics["tiny/hit@10"] == rank_gains(trainer.ranks(tiny), "hit", 10).mean()
    assert not trainer.uses_ranks()


def test_an_evaluation_is_of_the_best_weights_unless_told_otherwise(built, tmp_path):
    trainer = built.trainer(tmp_path)
    trainer.fit(*built.loaders[:2], verbose=False)
    before = trainer.evaluate(built.splits[1])
    built.model.LayerNorm.weight.data.fill_(0.01)
    assert trainer.evaluate(built.splits[1], load_best_model=False) != before
    assert trainer.evaluate(built.splits[1]) == before
