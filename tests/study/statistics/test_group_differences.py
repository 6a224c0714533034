"""Groups against a reference: worked by hand and by scipy, whose sign is whose, and what cannot be compared."""

import json
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from recbole_mpo.common.errors import RecordError
from recbole_mpo.common.paired import paired_difference
from recbole_mpo.common.rank_gains import rank_gains
from recbole_mpo.common.seed_variance import seeds_interval
from recbole_mpo.quick_start.record import read_record, write_ranks
from recbole_mpo.study.run_groups import RunGroup
from recbole_mpo.study.statistics import compare_groups

METRICS = ("hit@10", "ndcg@10")


@pytest.fixture
def run(write):
    """Writes a record with the ranks of one run beside it; returns (record, its file)."""

    def make(ranks, seed=1, users=None, **changes):
        ranks = np.asarray(ranks, np.int32)
        users = np.arange(len(ranks)) if users is None else np.asarray(users)
        test = {f"{name}@10": float(rank_gains(ranks, name, 10).mean()) for name in ("hit", "ndcg")}
        path = write(**{"seed": seed, "test": test, **changes})
        # Not in the order of the users, which readers must not rely on.
        order = np.random.default_rng(seed).permutation(len(ranks))
        columns = {"user": users[order].astype(np.int32), "rank": ranks[order]}
        write_ranks({"test": columns}, path.parent / "ranks.npz")
        return read_record(path), path

    return make


@pytest.fixture
def group(run):
    """Makes a group of runs from the ranks of each seed."""

    def make(name, *ranks_of_seeds, **changes):
        return RunGroup(name, tuple(run(ranks, seed, **changes) for seed, ranks in enumerate(ranks_of_seeds)))

    return make


def failed(write, seed=1):
    path = write(status="failed", seed=seed, valid={}, test={})
    return read_record(path), path


def random_ranks(seed, users=400, most=40):
    return np.random.default_rng(seed).integers(1, most, users)


def gains(*ranks_of_seeds, metric="hit"):
    return np.stack([rank_gains(ranks, metric, 10) for ranks in ranks_of_seeds])


def test_a_case_worked_by_hand(group):
    """Hits of four users, two seeds: 1, 1/2, 0, 0 against 0, 1/2, 1/2, 0 of the reference: differences 1, 0, -1/2, 0.

    Mean 1/8, variance (49 + 1 + 25 + 1) / 64 / 3, t = 1/8 / sqrt(variance / 4); of four patterns of signs all are as
    far from zero.
    """
    ours = group("ours", [1, 2, 30, 40], [3, 30, 20, 11])
    reference = group("reference", [11, 10, 20, 30], [12, 13, 1, 99])
    found = compare_groups([ours, reference], 1, ["hit@10"])
    assert found[1] == {}
    one = found[0]["hit@10"]
    assert (one.mean, one.users) == (0.125, 4) and (one.wins, one.ties, one.losses) == (1, 2, 1)
    spread = np.sqrt(76 / 64 / 3)
    assert one.effect_size == pytest.approx(0.125 / spread)
    assert one.p_value == one.p_holm == pytest.approx(2 * stats.t.sf(0.125 / (spread / 2), 3))
    # Sums of +-1 and +-1/2 are at least 1/2 from zero, the observed one too.
    assert one.p_randomisation == 1.0 and one.p_wilcoxon is None


def test_it_is_scipys_paired_test_of_gains_averaged_over_seeds(group):
    ours, theirs = [random_ranks(seed) for seed in (1, 2, 3)], [random_ranks(seed, most=60) for seed in (4, 5)]
    found = compare_groups([group("theirs", *theirs), group("ours", *ours)], 0, METRICS, wilcoxon=True)[1]
    assert list(found) == list(METRICS)
    for metric in METRICS:
        values, reference = (gains(*ranks, metric=metric.removesuffix("@10")) for ranks in (ours, theirs))
        pair = values.mean(0), reference.mean(0)
        one = found[metric]
        assert one.p_value == pytest.approx(stats.ttest_rel(*pair).pvalue, rel=1e-9)
        assert one.p_randomisation == pytest.approx(one.p_value, abs=0.02)
        assert one.p_wilcoxon == pytest.approx(stats.wilcoxon(np.round(pair[0] - pair[1], 12)).pvalue, rel=1e-6)
        assert (one.seeds_low, one.seeds_high) == pytest.approx(seeds_interval(values, reference), abs=1e-12)
        assert one.low < one.mean < one.high and one.mean == pytest.approx(pair[0].mean() - pair[1].mean(), rel=1e-12)
        assert one.seeds_high - one.seeds_low > 0.99 * (one.high - one.low)


def test_one_run_on_each_side_is_the_table_of_two_runs(group):
    ours, theirs = random_ranks(6), random_ranks(7)
    one = compare_groups([group("theirs", theirs), group("ours", ours)], 0, ["ndcg@10"])[1]["ndcg@10"]
    expected = paired_difference(*(gains(ranks, metric="ndcg")[0] for ranks in (ours, theirs)))
    assert (one.mean, one.low, one.high) == pytest.approx((expected.mean, expected.low, expected.high), abs=1e-12)
    assert one.p_value == pytest.approx(expected.p_value, rel=1e-9)
    assert (one.seeds_low, one.seeds_high) == (None, None)


class TestSign:
    """RecBole's own test asks whether ours is worse, and finds it "significant" when it is."""

    @pytest.fixture
    def pair(self, group):
        better = [random_ranks(seed, most=30) for seed in (1, 2)]
        worse = [np.where(ranks < 8, ranks + 10, ranks) for ranks in better]
        return group("better", *better), group("worse", *worse)

    def test_a_worse_group_is_below_zero_all_through(self, pair):
        one = compare_groups(pair, 0, ["hit@10"])[1]["hit@10"]
        ends = (one.mean, one.low, one.high, one.seeds_low, one.seeds_high, one.effect_size)
        assert max(ends) < 0 and one.losses > one.wins == 0 and one.p_holm < 1e-6

    def test_the_other_reference_turns_every_sign_and_no_p_value(self, pair):
        worse, better = (compare_groups(pair, place, METRICS)[1 - place] for place in (0, 1))
        for metric in METRICS:
            one, other = worse[metric], better[metric]
            assert (one.mean, one.effect_size) == pytest.approx((-other.mean, -other.effect_size), rel=1e-12)
            assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
            assert (one.p_value, one.p_randomisation) == pytest.approx((other.p_value, other.p_randomisation), rel=1e-9)
            assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=3e-3)
            assert (one.seeds_low, one.seeds_high) == pytest.approx((-other.seeds_high, -other.seeds_low), rel=1e-9)


class TestTies:
    def test_identical_runs_do_not_differ(self, group):
        ranks = [random_ranks(1), random_ranks(2)]
        one = compare_groups([group("a", *ranks), group("b", *ranks)], 0, ["ndcg@10"], wilcoxon=True)[1]["ndcg@10"]
        assert (one.mean, one.low, one.high, one.effect_size) == (0, 0, 0, 0)
        assert {one.p_value, one.p_randomisation, one.p_holm, one.p_wilcoxon} == {1.0}
        assert (one.wins, one.ties, one.losses) == (0, 400, 0)
        # The two agree on these seeds; other seeds would have given other differences.
        assert one.seeds_low == -one.seeds_high < 0

    def test_the_same_gains_from_other_seeds_are_ties(self, group):
        """Three gains added in another order differ in their last digit, as means of 2 and of 6 equal gains do."""
        ranks = [random_ranks(seed, most=10) for seed in (1, 2, 3)]
        orders = group("a", *ranks), group("b", *ranks[::-1]), group("c", *ranks, *ranks)
        for found in compare_groups(orders, 0, ["ndcg@10"])[1:]:
            assert found["ndcg@10"].ties == 400 and found["ndcg@10"].mean == 0

    def test_the_same_difference_of_all_users_is_certain(self, group):
        one = compare_groups([group("a", [11] * 5), group("b", [3] * 5)], 0, ["hit@10"])[1]["hit@10"]
        assert (one.mean, one.low, one.high, one.p_value, one.effect_size) == (1, 1, 1, 0, np.inf)
        # Two of 32 patterns of signs are as far from zero.
        assert one.p_randomisation == 1 / 16


class TestSeveralGroups:
    def test_holm_counts_all_cells_of_the_table(self, group):
        groups = [group(str(place), random_ranks(place, most=20 + 5 * place)) for place in range(4)]
        found = compare_groups(groups, 2, METRICS)
        cells = [difference for differences in found for difference in differences.values()]
        assert len(cells) == 6 and found[2] == {}
        least = min(cells, key=lambda one: one.p_value)
        assert least.p_holm == pytest.approx(6 * least.p_value)
        assert max(cells, key=lambda one: one.p_value).p_holm >= max(one.p_holm for one in cells[:-1])

    def test_a_group_is_the_same_with_others_beside_it(self, group):
        groups = [group(str(place), random_ranks(place), random_ranks(place + 9)) for place in range(3)]
        alone, beside = compare_groups(groups[:2], 0, METRICS)[1], compare_groups(groups, 0, METRICS)[1]
        for metric in METRICS:
            one, other = ({**asdict(found[metric]), "p_wilcoxon": 0} for found in (alone, beside))
            assert one.pop("p_holm") <= other.pop("p_holm")
            assert one == pytest.approx(other, rel=1e-9)

    def test_failed_runs_are_left_out_and_failed_groups_have_no_differences(self, group, run, write):
        reference, ours = group("reference", random_ranks(1)), run(random_ranks(2), seed=1)
        partly = RunGroup("partly", (ours, failed(write, 2), failed(write, 1)))
        found = compare_groups(
            [reference, RunGroup("failed", (failed(write),)), partly, RunGroup("none", ())], 0, METRICS
        )
        assert [list(differences) for differences in found] == [[], [], list(METRICS), []]
        assert found[2]["hit@10"].seeds_low is None
        # Cells without a test are not counted.
        assert found[2] == compare_groups([reference, RunGroup("ours", (ours,))], 0, METRICS)[1]

    def test_without_the_reference_there_is_nothing_to_compare(self, group, write):
        groups = [group("ours", random_ranks(1)), RunGroup("reference", (failed(write),))]
        assert compare_groups(groups, 1, METRICS) == [{}, {}]

    def test_a_metric_asked_for_twice_is_tested_once(self, group):
        groups = [group("a", random_ranks(1)), group("b", random_ranks(2))]
        assert compare_groups(groups, 0, ["hit@10", "hit@10"]) == compare_groups(groups, 0, ["hit@10"])

    def test_numbers_are_pythons_own(self, group):
        groups = [group("a", random_ranks(1)), group("b", random_ranks(2))]
        one = compare_groups(groups, -2, METRICS, wilcoxon=True)[1]["hit@10"]
        assert json.loads(json.dumps(asdict(one))) == asdict(one)
        assert {type(value) for value in (one.wins, one.ties, one.losses, one.users)} == {int}


class TestRefused:
    def test_other_users_are_named_by_both_files(self, group):
        reference, others = group("a", random_ranks(1, 5)), group("b", random_ranks(2, 5), users=[0, 1, 2, 3, 9])
        files = [one.runs[0][1].parent / "ranks.npz" for one in (others, reference)]
        with pytest.raises(RecordError) as problem:
            compare_groups([reference, others], 0, METRICS)
        assert f"the users of {files[0]} and {files[1]} differ (1 only in the first" in str(problem.value)

    def test_other_users_within_the_reference_too(self, run, group):
        runs = run(random_ranks(1, 5), 1), run(random_ranks(2, 4), 2)
        with pytest.raises(RecordError, match=r"differ \(0 only in the first, 1 only in the second\)"):
            compare_groups([group("a", random_ranks(3, 5)), RunGroup("b", runs)], 1, METRICS)

    def test_one_user_is_too_few(self, group):
        with pytest.raises(RecordError, match="needs at least two"):
            compare_groups([group("a", [1]), group("b", [2])], 0, METRICS)

    def test_a_metric_that_ranks_do_not_give(self, group):
        with pytest.raises(RecordError, match="gauc does not follow from ranks"):
            compare_groups([group("a", [1, 2]), group("b", [2, 3])], 0, ["gauc"])

    def test_ranks_of_another_run(self, group):
        reference, changed = group("a", [1, 2]), group("b", [2, 3])
        record, path = changed.runs[0]
        record["test"]["hit@10"] = 0.5
        with pytest.raises(RecordError, match="not of the same run"):
            compare_groups([reference, RunGroup("b", ((record, path),))], 0, METRICS)

    def test_a_reference_that_is_not_there(self, group):
        with pytest.raises(IndexError):
            compare_groups([group("a", [1, 2])], 1, METRICS)


@pytest.mark.slow
def test_a_large_table_needs_little_memory(group):
    """20,000 users, 6 models with 3 seeds, 4 metrics: 20 cells, of which every resample would take 32 GB at once."""
    groups = [group(str(place), *(random_ranks(3 * place + seed, 20_000) for seed in range(3))) for place in range(6)]
    tracemalloc.start()
    found = compare_groups(groups, 0, ["hit@10", "hit@50", "ndcg@10", "ndcg@50"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(differences) for differences in found] == [0, 4, 4, 4, 4, 4]
    assert peak < 100e6
