"""Gains of ranks by hand, and the names of metrics that ranks give."""

import numpy as np
import pytest

from recbole_mpo.common.rank_gains import GAINS, MISSED, rank_gains, split_metric

RANKS = np.array([1, 3, 10, 11], np.int32)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("hit", [1, 1, 1, 0]),
        ("recall", [1, 1, 1, 0]),
        ("precision", [0.1, 0.1, 0.1, 0]),
        ("ndcg", [1, 0.5, 1 / np.log2(11), 0]),
        ("mrr", [1, 1 / 3, 0.1, 0]),
        ("map", [1, 1 / 3, 0.1, 0]),
    ],
)
def test_gains_by_hand(metric, expected):
    assert rank_gains(RANKS, metric, 10) == pytest.approx(expected, abs=1e-15)


def test_every_metric_gains_nothing_beyond_the_cut_off_and_most_at_rank_one():
    for metric in GAINS:
        gains = rank_gains(np.arange(1, 9), metric, 5)
        assert (gains[5:] == 0).all() and gains[0] == gains.max() > 0


@pytest.mark.parametrize("metric", GAINS)
@pytest.mark.parametrize("k", [1, 10, MISSED - 1, MISSED, MISSED + 1, 10**12])
def test_no_cut_off_reaches_a_missed_target(metric, k):
    ranks = np.array([1, MISSED], np.int32)
    assert ranks.tolist() == [1, MISSED], "it is stored as int32"
    first, missed = rank_gains(ranks, metric, k)
    assert first > 0 and missed == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg@10", ("ndcg", 10)),
        ("HIT@1", ("hit", 1)),
        ("gauc", None),
        ("ndcg", None),
        ("ndcg@0", None),
        ("ndcg@-1", None),
        ("ndcg@1e1", None),
        ("itemcoverage@10", None),
        ("hit@9999999999", None),
    ],
)
def test_names_of_metrics(name, expected):
    assert split_metric(name) == expected
