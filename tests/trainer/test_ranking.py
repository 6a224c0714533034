"""Ranks and the metrics that follow from them, against definitions and RecBole's evaluator."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from recbole.data.interaction import Interaction
from support import built_run

from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.common.rank_gains import MISSED
from recbole_mpo.layers.mpo.convert import mpo_layers
from recbole_mpo.trainer import ranking
from recbole_mpo.trainer.ranking import (
    can_rank,
    metrics_from_ranks,
    rank_by_item_vectors,
    rank_by_scores,
    rank_rows,
    ranks_of_targets,
    rows_per_batch,
)

EVIDENCE = {"evidence": ["covisit", "words", "two_hop"]}


@given(arrays(np.float32, (4, 9), elements=st.integers(-3, 3)), st.lists(st.integers(1, 8), min_size=4, max_size=4))
def test_rank_counts_better_items_and_ties(scores, targets):
    ranks = ranks_of_targets(torch.from_numpy(scores.copy()), torch.tensor(targets)).tolist()
    for row, target, rank in zip(scores, targets, ranks, strict=True):
        others = [row[item] for item in range(1, 9) if item != target]
        assert rank == 1 + sum(other >= row[target] for other in others)


def test_pad_is_no_candidate_whatever_its_score():
    scores = torch.tensor([[9.0, 1.0, 2.0], [float("nan"), 3.0, 1.0]])
    assert ranks_of_targets(scores, torch.tensor([2, 1])).tolist() == [1, 1]


def test_minus_infinity_is_no_candidate_and_ranks_last():
    scores = torch.tensor([[0.0, -torch.inf, 2.0, 1.0], [0.0, -torch.inf, 2.0, 1.0]])
    assert ranks_of_targets(scores, torch.tensor([3, 1])).tolist() == [2, 3]


KNOWN = st.sets(st.tuples(st.integers(0, 3), st.integers(1, 8)))
SCORES = arrays(np.float32, (4, 9), elements=st.sampled_from([-np.inf, -1, 0, 1, 2]))


@given(SCORES, st.lists(st.integers(1, 8), min_size=4, max_size=4), KNOWN)
def test_known_items_are_no_candidates_and_as_targets_missed(scores, targets, known):
    pairs = np.array(sorted(known), dtype=np.int64).reshape(-1, 2)
    pairs = tuple(torch.from_numpy(column.copy()) for column in pairs.T)
    ranks = ranks_of_targets(torch.from_numpy(scores.copy()), torch.tensor(targets), pairs).tolist()
    for place, (row, target, rank) in enumerate(zip(scores, targets, ranks, strict=True)):
        others = [row[item] for item in range(1, 9) if item != target and (place, item) not in known]
        expected = 1 + sum(other >= row[target] for other in others)
        assert rank == (MISSED if (place, target) in known else expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_scores_of_known_items_must_be_finite_too(value):
    scores = torch.tensor([[0.0, 1.0, value]])
    with pytest.raises(RecboleMPOError, match="cannot be ranked"):
        ranks_of_targets(scores, torch.tensor([1]), (torch.tensor([0]), torch.tensor([2])))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", [1, 3])
def test_scores_that_are_not_finite_do_not_rank(value, place):
    """Not even where they are not the target's: a NaN is never higher than a target."""
    scores = torch.zeros(2, 4)
    scores[1, place] = value
    with pytest.raises(RecboleMPOError, match="scores that are infinite or not a number, which cannot be ranked"):
        ranks_of_targets(scores, torch.tensor([3, 3]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_ranks_are_whole_numbers_in_every_precision(dtype):
    scores = torch.arange(5000.0).to(dtype).expand(2, -1).clone()
    expected = [1 + int((scores[0, 1:] >= scores[0, target]).sum()) - 1 for target in (4999, 1)]
    ranks = ranks_of_targets(scores, torch.tensor([4999, 1]))
    assert ranks.dtype == torch.int64 and ranks.tolist() == expected


def test_metrics_by_hand():
    metrics = metrics_from_ranks(np.array([1, 3, 11]), ["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"], [1, 10])
    assert metrics["hit@1"] == metrics["recall@1"] == pytest.approx(1 / 3)
    assert metrics["hit@10"] == pytest.approx(2 / 3)
    assert metrics["precision@10"] == pytest.approx(2 / 30)
    assert metrics["ndcg@10"] == pytest.approx((1 + 1 / 2) / 3)
    assert metrics["mrr@10"] == metrics["map@10"] == pytest.approx((1 + 1 / 3) / 3)


def test_only_metrics_of_a_single_target_are_taken_from_ranks():
    assert can_rank(["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"])
    assert not can_rank(["Hit", "GAUC"])


def test_batches_bound_the_score_matrix():
    assert rows_per_batch(2048, 4386) == 2048
    assert rows_per_batch(2048, 1_000_000) * 1_000_000 <= 1 << 25
    assert rows_per_batch(2048, 1 << 30) == 1


CONFIG = {"USER_ID_FIELD": "user", "ITEM_LIST_LENGTH_FIELD": "length"}


class MadeUpScores:
    """A made-up model of 20 items: the scores of a user's row are fixed, and every call is counted."""

    def __init__(self, users=13, items=20):
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randint(-3, 4, (users, items), generator=generator).float()
        self.targets = torch.randint(1, items, (users,), generator=generator)
        self.sizes = []

    def score(self, interaction):
        self.sizes.append(len(interaction["user"]))
        return self.table[interaction["user"]].clone()

    def batches(self, size):
        """As RecBole's loader of a full evaluation gives them."""
        for users in torch.arange(len(self.targets)).split(size):
            yield Interaction({"user": users, "length": users + 1}), None, None, self.targets[users]

    def ranks(self):
        """One more than the other items that are scored as high."""
        rows = zip(self.table.tolist(), self.targets.tolist(), strict=True)
        return [sum(score >= row[target] for score in row[1:]) for row, target in rows]


class TestRankRows:
    @pytest.mark.parametrize("size", [1, 4, 13, 100])
    def test_ranks_stand_beside_users_targets_and_lengths(self, size):
        model = MadeUpScores()
        columns = rank_rows(rank_by_scores(model.score, 20), model.batches(size), CONFIG, torch.device("cpu"))
        assert {name: column.dtype for name, column in columns.items()} == dict.fromkeys(
            ("user", "rank", "history_length", "target"), np.dtype(np.int32)
        )
        assert columns["rank"].tolist() == model.ranks() and columns["target"].tolist() == model.targets.tolist()
        assert columns["user"].tolist() == list(range(13)) and columns["history_length"].tolist() == list(range(1, 14))

    @pytest.mark.parametrize(("most", "sizes"), [(10**6, [13]), (100, [5, 5, 3]), (1, [1] * 13)])
    def test_no_more_scores_are_held_than_allowed(self, monkeypatch, most, sizes):
        monkeypatch.setattr(ranking, "MAX_SCORES", most)
        model = MadeUpScores()
        columns = rank_rows(rank_by_scores(model.score, 20), model.batches(13), CONFIG, torch.device("cpu"))
        assert model.sizes == sizes and columns["rank"].tolist() == model.ranks()

    def test_scores_may_come_flat_as_from_recboles_models(self):
        model = MadeUpScores()
        rank = rank_by_scores(lambda rows: model.score(rows).flatten(), 20)
        (batch,) = model.batches(13)
        assert rank(batch[0], batch[3]).tolist() == model.ranks()


class TestItemVectors:
    @pytest.fixture(params=[("MPORec", {}), ("UniSRec", EVIDENCE), ("CCDR", {"ccdr_clusters": 4})])
    def run(self, request, tiny_settings):
        name, changes = request.param
        keys = ("data_path", "cache_dir", "text_encoder", "use_gpu", "show_progress", "hidden_size", "seed")
        return built_run(name, "tiny", (), {**{key: tiny_settings[key] for key in keys}, **changes})

    @pytest.mark.parametrize("most", [10**6, 100])
    @torch.no_grad()
    def test_give_the_ranks_of_the_models_scores(self, run, monkeypatch, most):
        monkeypatch.setattr(ranking, "MAX_SCORES", most)
        # Sums of evidence are in single precision alone; MPO weights merged round otherwise than unmerged.
        model = run.model.eval() if run.model.counts_hash else run.model.double().eval()
        by_scores = nullcontext(rank_by_scores(model.full_sort_predict, model.n_items))
        columns = []
        for ranker in (rank_by_item_vectors(model, 1000), by_scores):
            with ranker as rank:
                columns.append(rank_rows(rank, run.loaders[2], run.config, torch.device("cpu")))
        for name, column in columns[0].items():
            assert np.array_equal(column, columns[1][name]), name
        assert len(columns[0]["rank"]) == 40 and len(set(columns[0]["rank"].tolist())) > 5

    def test_hold_merged_weights_for_one_evaluation(self, tiny_settings):
        model = built_run("MPORec", "tiny", (), tiny_settings).model.eval()
        layers = mpo_layers(model).values()
        with rank_by_item_vectors(model, 10):
            assert layers and all(layer.holds_weight for layer in layers)
        assert not any(layer.holds_weight for layer in layers)


@pytest.mark.parametrize("model", ["MPORec", "UniSRec"])
def test_equals_recboles_evaluator(tiny_settings, tmp_path, model):
    metrics = {"metrics": ["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"], "topk": [1, 5, 10]}
    results = []
    for eval_mode in ("ranks", "recbole"):
        settings = {**tiny_settings, **metrics, "eval_mode": eval_mode, "metric_decimal_place": 12}
        experiment = built_run(model, "tiny", (), settings)
        train_data, _, test_data = experiment.loaders
        trainer = experiment.spec.trainer_class(experiment.config, experiment.model, tmp_path)
        trainer.eval_collector.data_collect(train_data)
        results.append(trainer.evaluate(test_data, load_best_model=False))
    ours, recboles = results
    assert set(ours) == set(recboles) and len(ours) == 18
    assert {key: float(value) for key, value in recboles.items()} == pytest.approx(ours, abs=1e-9)
