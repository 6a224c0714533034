"""Groups of runs: their order, what counts as completed, and mean and standard deviation over seeds."""

from pathlib import Path

import pytest

from recbole_mpo.common.errors import RecordError
from recbole_mpo.study.run_groups import RunGroup, mean_and_sd


def run(seed, status="completed", name=None, **metrics):
    """A record with test metrics ``hit@10`` and so on by keyword, and its file."""
    test = {key.replace("_", "@"): value for key, value in metrics.items()}
    record = {"status": status, "seed": seed, "test": test, "valid": {key: value / 2 for key, value in test.items()}}
    return record, Path(name or f"run{seed}") / "record.json"


def group(*runs):
    return RunGroup("MPORec", tuple(runs))


def test_runs_stand_in_the_order_of_their_seeds():
    found = group(run(7), run(None), run(3, status="failed"), run(5))
    assert [record["seed"] for record, _ in found.runs] == [None, 3, 5, 7]


def test_completed_are_those_with_test_metrics():
    found = group(run(1, hit_10=0.1), run(2), run(3, status="failed", hit_10=0.3), run(4, status="dry_run"))
    assert [record["seed"] for record, _ in found.completed] == [1] and len(found.runs) == 4
    assert group().completed == ()


def test_mean_and_standard_deviation_worked_by_hand():
    """.1, .2, .6: mean .3, squares of distances .04 + .01 + .09 over 2."""
    found = group(run(1, hit_10=0.1), run(2, hit_10=0.2), run(3, hit_10=0.6), run(4, status="failed"))
    assert mean_and_sd(found, "hit@10") == pytest.approx((0.3, 0.07**0.5), rel=1e-12)
    assert mean_and_sd(found, "HIT@10", "valid") == pytest.approx((0.15, 0.07**0.5 / 2), rel=1e-12)


def test_equal_runs_have_no_spread():
    assert mean_and_sd(group(*(run(seed, hit_10=0.1) for seed in range(3))), "hit@10") == (0.1, 0.0)


def test_one_seed_has_a_mean_and_no_spread():
    assert mean_and_sd(group(run(1, hit_10=0.25), run(2, status="failed")), "hit@10") == (0.25, None)


@pytest.mark.parametrize(
    "runs", [(), (run(1, status="failed", hit_10=0.5),), (run(1, hit_10=0.5), run(2, hit_50=0.5)), (run(1, mrr_5=1.0),)]
)
def test_no_mean_where_runs_or_the_metric_are_missing(runs):
    assert mean_and_sd(group(*runs), "hit@10") == (None, None)


def test_a_seed_counts_once():
    with pytest.raises(RecordError, match=r"two completed runs of MPORec have the seed 5: a/record.json and b/record"):
        group(run(5, name="a", hit_10=0.1), run(5, name="b", hit_10=0.1))
    again = group(run(5, status="failed", name="a"), run(5, name="b", hit_10=0.1))
    assert len(again.completed) == 1 and len(again.runs) == 2
