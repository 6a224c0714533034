"""What is measured: paired differences, overlaps, errors by layer, and speed."""

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.release.compress.measuring import (
    Measures,
    compare_scores,
    layer_errors,
    metrics_of,
    paired_differences,
)


def test_metrics_follow_from_ranks():
    ranks = np.array([1, 3, 11, 60])
    metrics = metrics_of(ranks)
    assert metrics["hit@10"] == 0.5 and metrics["hit@50"] == 0.75
    assert metrics["ndcg@10"] == pytest.approx((1 + 1 / 2) / 4)


def test_differences_are_paired():
    ranks = np.tile([1, 2, 20, 70], 50)
    assert paired_differences(ranks, ranks)["hit@10"] == {"mean": 0, "low": 0, "high": 0, "p_value": 1}
    better = paired_differences(np.ones(200), ranks)["hit@10"]
    assert better["mean"] == 0.5 and 0.4 < better["low"] < 0.5 < better["high"] < 0.6


def test_scores_are_compared_by_their_best_items():
    scores = torch.arange(20.0).repeat(2, 1)
    other = scores.clone()
    other[0, 10:] -= 100
    result = compare_scores(scores, other)
    # The first row has none of the former ten, the second all.
    assert result == {"top10_overlap": 0.5, "largest_difference": 100.0}


def test_errors_are_of_the_same_expert():
    reference = {f"moe_adaptor.experts.{number}.lin": torch.full((2, 2), number + 1.0) for number in range(3)}
    reference["trm_encoder.x"] = torch.ones(2, 2)
    weights = {"moe_adaptor.experts.0.lin": torch.full((2, 2), 3.3), "trm_encoder.x": torch.ones(1, 2)}
    assert layer_errors(weights, reference, [2]) == {"moe_adaptor.experts.0.lin": pytest.approx(0.1)}
    assert layer_errors(weights, reference)["moe_adaptor.experts.0.lin"] == pytest.approx(2.3)


def test_speed_is_measured_with_one_thread(tiny_settings, tmp_path):
    built = built_run("UniSRec", "tiny", (), tiny_settings)
    threads = torch.get_num_threads()
    latencies = Measures(built.experiment, tmp_path).latencies(built.model)
    assert torch.get_num_threads() == threads
    assert latencies["batch_1"]["histories"] == 1 and latencies["batch_256"]["histories"] == 40
    for figures in latencies.values():
        assert 0 < figures["p50"] <= figures["p95"] and figures["busy_p50"] > 0
