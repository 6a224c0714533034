"""Laws: what they give, their derivatives, their bounds, and starts within these."""

import numpy as np
import pytest

from recbole_mpo.study.scaling.laws import Logistic, LogLinear, PowerLaw

LOGS = np.array([np.linspace(-1, 1, 7), np.linspace(2, -2, 7)])
LAWS = [
    (PowerLaw(("N", "D")), [5.0, -0.3, 0.4, 0.1, 0.2], LOGS),
    (PowerLaw(("N", "D"), rises=True), [0.2, -3.0, 0.4, -4.0, 0.2], LOGS),
    (PowerLaw(("C",)), [5.0, -0.3, 0.4], LOGS[:1]),
    (Logistic(("C",)), [0.1, 0.5, 1.3, 0.2], LOGS[:1]),
]


def test_a_power_law_is_what_it_says():
    value = PowerLaw(("N", "D")).values(np.array([5.0, np.log(2), 0.5, np.log(3), 1.0]), np.log([[4.0], [9.0]]))
    assert value == pytest.approx([5 + 2 / 2 + 3 / 9])
    metric = PowerLaw(("N", "D"), rises=True).values(
        np.array([0.5, np.log(0.2), 0.5, np.log(0.3), 1.0]), np.zeros((2, 1))
    )
    assert metric == pytest.approx([0.5 - 0.2 - 0.3])


def test_a_logistic_law_is_what_it_says():
    value = Logistic(("C",)).values(np.array([-0.247, 0.396, 0.18, 24.44]), np.array([[30.0]]))
    assert value == pytest.approx(0.396 / (1 + np.exp(-0.18 * (30 - 24.44))) - 0.247)


@pytest.mark.parametrize(("law", "parameters", "logs"), LAWS)
def test_slopes_are_derivatives(law, parameters, logs):
    parameters, step = np.array(parameters), 1e-6
    slopes = law.slopes(parameters, logs)
    for place in range(len(parameters)):
        ends = [parameters.copy(), parameters.copy()]
        ends[0][place] -= step
        ends[1][place] += step
        low, high = (law.values(one, logs) for one in ends)
        assert slopes[:, place] == pytest.approx((high - low) / (2 * step), abs=1e-7)


@pytest.mark.parametrize(("law", "parameters", "logs"), LAWS)
def test_several_sets_of_parameters_are_as_each_alone(law, parameters, logs):
    many = np.stack([np.array(parameters), 1.1 * np.array(parameters)])
    for give in (law.values, law.slopes):
        assert np.allclose(give(many, logs), np.stack([give(one, logs) for one in many]))


@pytest.mark.parametrize(("law", "parameters", "logs"), LAWS)
def test_starts_are_within_the_bounds_and_the_same_for_a_seed(law, parameters, logs):
    values = law.values(np.array(parameters), logs)
    lowest, highest = law.bounds(values)
    starts = law.starts(values, logs, 24, 3)
    assert starts.shape == (24, len(law.names)) and (starts >= lowest).all() and (starts <= highest).all()
    assert np.array_equal(starts, law.starts(values, logs, 24, 3))


def test_the_asymptote_is_beyond_what_was_seen():
    values = np.array([0.1, 0.3])
    assert [ends[0] for ends in PowerLaw(("C",), rises=True).bounds(values)] == [0.3, 1.0]
    assert [ends[0] for ends in PowerLaw(("C",)).bounds(values)] == [0.0, 0.1]


def test_straight_lines_are_solved_at_once():
    law = LogLinear(("N", "D"))
    logs = np.random.default_rng(0).standard_normal((2, 9))
    wanted = np.array([[7.0, -0.4, 0.2], [1.0, 2.0, 3.0]])
    assert np.allclose(law.solved(law.values(wanted, logs), logs), wanted)
    assert np.allclose(LogLinear().solved(np.array([1.0, 2.0, 6.0]), np.empty((0, 3))), [3.0])
