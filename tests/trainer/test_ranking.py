"""Ranks and the metrics that follow from them, against definitions and RecBole's evaluator."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.trainer.ranking import can_rank, metrics_from_ranks, ranks_of_targets, rows_per_batch


@given(arrays(np.float32, (4, 9), elements=st.integers(-3, 3)), st.lists(st.integers(1, 8), min_size=4, max_size=4))
def test_rank_counts_better_items_and_ties(scores, targets):
    found = ranks_of_targets(torch.from_numpy(scores.copy()), torch.tensor(targets)).tolist()
    for row, target, rank in zip(scores, targets, found, strict=True):
        others = [row[item] for item in range(1, 9) if item != target]
        assert rank == 1 + sum(other >= row[target] for other in others)


def test_pad_is_no_candidate_and_nan_ranks_last():
    scores = torch.tensor([[9.0, 1.0, 2.0], [0.0, float("nan"), 1.0]])
    assert ranks_of_targets(scores, torch.tensor([2, 1])).tolist() == [1, 2]


def test_metrics_by_hand():
    found = metrics_from_ranks(np.array([1, 3, 11]), ["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"], [1, 10])
    assert found["hit@1"] == found["recall@1"] == pytest.approx(1 / 3)
    assert found["hit@10"] == pytest.approx(2 / 3)
    assert found["precision@10"] == pytest.approx(2 / 30)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / 2) / 3)
    assert found["mrr@10"] == found["map@10"] == pytest.approx((1 + 1 / 3) / 3)


def test_only_metrics_of_a_single_target_are_taken_from_ranks():
    assert can_rank(["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"])
    assert not can_rank(["Hit", "GAUC"])


def test_batches_bound_the_score_matrix():
    assert rows_per_batch(2048, 4386) == 2048
    assert rows_per_batch(2048, 1_000_000) * 1_000_000 <= 1 << 25
    assert rows_per_batch(2048, 1 << 30) == 1


@pytest.mark.parametrize("model", ["MPORec", "UniSRec"])
def test_equals_recboles_evaluator(tiny_settings, tmp_path, model):
    metrics = {"metrics": ["Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"], "topk": [1, 5, 10]}
    results = []
    for eval_mode in ("ranks", "recbole"):
        settings = {**tiny_settings, **metrics, "eval_mode": eval_mode, "metric_decimal_place": 12}
        experiment = Experiment.of(model, "tiny", (), settings)
        train_data, _, test_data = experiment.loaders
        trainer = experiment.spec.trainer_class(experiment.config, experiment.model, tmp_path)
        trainer.eval_collector.data_collect(train_data)
        results.append(trainer.evaluate(test_data, load_best_model=False))
    ours, recboles = results
    assert set(ours) == set(recboles) and len(ours) == 18
    assert {key: float(value) for key, value in recboles.items()} == pytest.approx(ours, abs=1e-9)
