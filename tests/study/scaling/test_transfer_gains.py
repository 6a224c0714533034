"""What fine-tuning gains over training from scratch, with intervals where there are ranks."""

import pytest

from recbole_mpo.study.run_process import RUNS
from recbole_mpo.study.scaling.outcomes import find_outcomes
from recbole_mpo.study.scaling.transfer_gains import transfer_gains


def rows_of(study, wanted=lambda one: True, metrics=("loss", "ndcg@10")):
    outcomes = [one for one in find_outcomes(study.made.cells, study.output / RUNS)[0] if wanted(one)]
    return transfer_gains(outcomes, metrics), outcomes


def test_each_fine_tuned_run_is_beside_the_one_from_scratch_of_its_size(planted):
    rows, outcomes = rows_of(planted)
    by_name = {one.cell.row.name: one for one in outcomes}
    assert len(rows) == 8 and sum(row["way"] == "progressive" for row in rows) == 1
    for row in rows:
        scratch = by_name[f"from scratch, UniSRec, {row['width']} wide, 2 deep"]
        assert row["loss scratch"] == scratch.value("loss") and row["seed"] == scratch.cell.seed
        assert row["loss difference"] == pytest.approx(row["loss"] - row["loss scratch"])
        assert row["D"] in (45_000, 90_000, 180_000, 360_000) and row["N"] > 100_000


def test_another_recipe_than_from_scratch_is_named(planted):
    rows, _ = rows_of(planted)
    said = {row["way"]: row["otherwise"] for row in rows}
    assert said["fine-tuned"] == "" and "mpo_num_cores" not in said["progressive"]
    for part in ("model MPORec", "epochs 50", "learning_rate 0.001", "lr_schedule constant", "mpo_strategy prog"):
        assert part in said["progressive"]


def test_metrics_of_ranks_have_intervals_over_users(planted):
    rows, _ = rows_of(planted)
    for row in rows:
        assert row["ndcg@10 low"] <= row["ndcg@10 difference"] <= row["ndcg@10 high"]
        assert row["ndcg@10 difference"] > 0
    loss, _ = rows_of(planted, metrics=("loss",))
    assert {row["loss low"] for row in loss} == {None}


def test_without_a_counterpart_or_the_source_less_is_said(planted):
    assert rows_of(planted, lambda one: one.cell.way != "from scratch")[0] == []
    rows, _ = rows_of(planted, lambda one: bool(one.cell.way))
    assert len(rows) == 8 and {row["D"] for row in rows} == {None}


def test_records_without_ranks_have_no_intervals(planted):
    for path in (planted.output / RUNS).rglob("ranks.npz"):
        path.unlink()
    assert {row["ndcg@10 low"] for row in rows_of(planted, metrics=("ndcg@10",))[0]} == {None}
