"""Tests of differences beside the t-test: exact enumeration, scipy, cases worked by hand, and the false alarms."""

import itertools

import numpy as np
import pytest
from scipy import stats

from recbole_mpo.common.paired import RESAMPLES, t_test
from recbole_mpo.common.paired_tests import EXACT, effect_sizes, holm, sign_flip_test, wilcoxon_test, wins_ties_losses


def column(values):
    """One column of differences."""
    return np.asarray(values, dtype=np.float64)[:, None]


def by_enumeration(values):
    """The p-value of the mean over all patterns of signs, counted one by one."""
    observed = abs(sum(values))
    patterns = list(itertools.product((1, -1), repeat=len(values)))
    sums = [abs(sum(sign * value for sign, value in zip(signs, values, strict=True))) for signs in patterns]
    return sum(found >= observed - 1e-9 for found in sums) / len(patterns)


class TestSignFlips:
    def test_a_case_worked_by_hand(self):
        """Of 1, 2, 3 two of eight patterns give a sum of 6 or -6; of 1, 1, -1 all but two give 1 or -1, none less."""
        assert sign_flip_test(column([1, 2, 3])).tolist() == [0.25]
        assert sign_flip_test(column([1, 1, -1])).tolist() == [1.0]

    @pytest.mark.parametrize("seed", range(5))
    def test_few_differences_are_enumerated(self, seed):
        draw = np.random.default_rng(seed)
        values = np.round(draw.normal(0.4, 1, 9), 1)
        assert sign_flip_test(column(values))[0] == pytest.approx(by_enumeration(values), abs=1e-12)

    def test_users_without_a_difference_change_nothing(self):
        values = [0.5, -0.25, 1.0, 0.75]
        assert sign_flip_test(column([*values, *[0.0] * 5000])) == sign_flip_test(column(values))

    def test_scipy_enumerates_the_same(self):
        values = np.random.default_rng(6).normal(0.3, 1, 11)
        expected = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        assert sign_flip_test(column(values))[0] == pytest.approx(expected, abs=1e-12)

    def test_random_signs_come_close_to_all_of_them(self):
        """One difference more than is enumerated by the package, and still few enough for scipy."""
        values = np.random.default_rng(7).normal(0.4, 1, EXACT + 1)
        expected = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        error = np.sqrt(expected * (1 - expected) / RESAMPLES)
        assert sign_flip_test(column(values))[0] == pytest.approx(expected, abs=4 * error)

    def test_equal_sizes_tie_whatever_the_rounding(self):
        """Nine tenths of these patterns tie with others; added in another order their sums differ in the last digit."""
        values = np.array([0.1] * 7 + [0.3] * 3 + [-0.1] * 3)
        assert sign_flip_test(column(values))[0] == pytest.approx(by_enumeration(values), abs=1e-12)

    def test_it_agrees_with_the_t_test_on_many_users(self):
        draw = np.random.default_rng(8)
        differences = (draw.random((3000, 4)) < 0.13) * draw.choice([1.0, -1.0, 0.5], (3000, 4)) + [
            0,
            0.01,
            0.02,
            -0.01,
        ]
        assert sign_flip_test(differences) == pytest.approx(t_test(differences), abs=0.02)

    def test_a_clear_effect_has_the_least_p_value_that_there_is(self):
        assert sign_flip_test(column(np.ones(100))).tolist() == [1 / (RESAMPLES + 1)]

    def test_columns_do_not_change_each_other(self):
        differences = np.random.default_rng(9).normal(0.02, 1, (300, 3))
        differences[:290, 1] = 0
        alone = [sign_flip_test(differences[:, [place]])[0] for place in range(3)]
        assert sign_flip_test(differences).tolist() == alone

    def test_the_seed_decides(self):
        differences = np.random.default_rng(10).normal(0.1, 1, (100, 1))
        assert sign_flip_test(differences) == sign_flip_test(differences) != sign_flip_test(differences, seed=1)

    def test_without_differences_there_is_no_effect(self):
        assert sign_flip_test(np.zeros((50, 2))).tolist() == [1.0, 1.0]

    @pytest.mark.parametrize("values", [np.zeros((1, 1)), np.zeros(4), [[np.nan], [1.0]]])
    def test_what_cannot_be_tested_is_refused(self, values):
        with pytest.raises(ValueError, match="at least two finite values"):
            sign_flip_test(values)


class TestHolm:
    def test_a_case_worked_by_hand(self):
        """.005 x 4, .01 x 3, .03 x 2; .04 x 1 is below the one before it, and takes its value."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_nothing_exceeds_one_and_one_test_stays(self):
        assert holm([0.9, 0.8]).tolist() == [1.0, 1.0] and holm([0.2]).tolist() == [0.2]
        assert holm([]).tolist() == []

    def test_equal_p_values_stay_equal(self):
        assert holm([0.02, 0.02, 0.5]) == pytest.approx([0.06, 0.06, 0.5])

    def test_it_rejects_what_the_step_down_rule_rejects(self):
        draw = np.random.default_rng(11)
        for _ in range(50):
            p_values = draw.random(6) ** 3
            rejected = set()
            for step, place in enumerate(np.argsort(p_values)):
                if p_values[place] > 0.05 / (6 - step):
                    break
                rejected.add(int(place))
            assert set(np.flatnonzero(holm(p_values) <= 0.05).tolist()) == rejected

    def test_false_alarms_in_a_table_are_rare(self):
        """Twenty tests of nothing, 2,000 times: without adjustment 64 % of the tables have a false alarm."""
        p_values = np.random.default_rng(12).random((2000, 20))
        assert (p_values < 0.05).any(1).mean() > 0.6
        assert np.mean([(holm(row) < 0.05).any() for row in p_values]) == pytest.approx(0.05, abs=0.015)


class TestEffectSize:
    def test_a_case_worked_by_hand(self):
        """1, 2, 3: mean 2, standard deviation 1."""
        assert effect_sizes(np.array([[1, -1], [2, -2], [3, -3]])).tolist() == [2.0, -2.0]

    def test_it_is_the_statistic_without_the_number_of_users(self):
        values = np.random.default_rng(13).normal(0.2, 1, 400)
        assert effect_sizes(column(values))[0] == pytest.approx(stats.ttest_1samp(values, 0).statistic / 20)

    def test_no_spread_is_no_effect_or_an_infinite_one(self):
        found = effect_sizes(np.array([[0.0, 0.3, -0.3], [0.0, 0.1 + 0.2, -0.3]]))
        assert found.tolist() == [0.0, np.inf, -np.inf]


def test_wins_ties_and_losses_are_counted():
    found = wins_ties_losses(np.array([[0.5, 0.0], [-0.1, 0.0], [0.0, 0.0], [1e-9, 0.0]]))
    assert found.tolist() == [[2, 0], [1, 4], [1, 0]]


class TestWilcoxon:
    def test_scipys(self):
        values = np.random.default_rng(14).normal(0.1, 1, (60, 2))
        expected = [stats.wilcoxon(values[:, place]).pvalue for place in range(2)]
        assert wilcoxon_test(values).tolist() == expected

    def test_without_differences_there_is_no_effect(self):
        assert wilcoxon_test(np.zeros((10, 1))).tolist() == [1.0]

    def test_equal_differences_have_equal_ranks_whatever_the_rounding(self):
        """0.1 + 0.2 is larger than 0.3 in the last digit, which would put all of the first above all of the second."""
        exact, rounded = column([3.0] * 40 + [-3.0] * 20 + [1.0]), column([0.1 + 0.2] * 40 + [-0.3] * 20 + [0.1])
        assert wilcoxon_test(rounded) == wilcoxon_test(exact)

    def test_it_tests_something_else_than_the_mean(self):
        """Many small gains and few large losses: no difference of the means, and yet what Wilcoxon calls one."""
        values = column([0.1] * 900 + [-0.9] * 100)
        assert wilcoxon_test(values)[0] < 1e-10 and t_test(values)[0] > 0.99
