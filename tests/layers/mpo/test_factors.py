"""Factor lists, bonds and counts: integers with their source, and what the messages say.

Legend: I x O the dense shape, n cores, d bond dimensions, N = I * O.
"""

import math
import warnings
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mpo.layers.mpo.factors import (
    balanced_factors,
    choose_factors,
    full_bond_dims,
    light_share,
    overparameterisation,
    padded_size,
    parameter_counts,
    resolve_bond_dims,
    warn_if_light_is_empty,
)

PAPER = ((3, 4, 4, 4, 4), (2, 3, 5, 5, 2))


def total(in_features, out_features, n, preset=None):
    return sum(parameter_counts(*choose_factors(in_features, out_features, n, preset=preset)))


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        (768, 5, (3, 4, 4, 4, 4)),
        (300, 5, (2, 2, 3, 5, 5)),
        (256, 5, (2, 2, 4, 4, 4)),
        (397, 5, (1, 1, 1, 1, 397)),
    ],
)
def test_balanced_factors(size, count, expected):
    assert balanced_factors(size, count) == expected


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 2000), count=st.integers(1, 9))
def test_balanced_factors_multiply_to_the_size(size, count):
    factors = balanced_factors(size, count)
    assert len(factors) == count and math.prod(factors) == size


def test_balanced_factors_need_positive_numbers():
    with pytest.raises(ValueError, match="size 0 into 5 factors"):
        balanced_factors(0, 5)


def test_the_paper_preset_is_the_default_at_768_x_300():
    assert choose_factors(768, 300) == PAPER
    assert full_bond_dims(*PAPER) == (6, 72, 160, 8)
    assert parameter_counts(*PAPER) == (36, 5_184, 230_400, 25_600, 64)
    assert sum(parameter_counts(*PAPER)) == 261_284
    assert choose_factors(768, 300, 3) != PAPER
    assert choose_factors(768, 300, preset=None) != PAPER


@pytest.mark.parametrize(("t", "rho"), [(0, 1.134), (2, 1.179), (4, 1.224), (6, 1.269)])
def test_overparameterisation_of_eq_7(t, rho):
    assert round(overparameterisation(*PAPER, expand=t, bond=2), 3) == rho


@pytest.mark.parametrize(
    ("in_features", "out_features", "n", "count"),
    [
        (768, 300, 3, 234_304),
        (768, 300, 5, 254_116),
        (300, 300, 3, 91_800),
        (300, 300, 5, 97_232),
        (300, 256, 3, 78_976),
        (300, 256, 5, 84_596),
        (256, 300, 5, 84_596),
    ],
)
def test_leanest_ordering_by_exact_count(in_features, out_features, n, count):
    assert total(in_features, out_features, n) == count


@pytest.mark.parametrize(
    ("in_features", "out_features", "bonds"),
    [(768, 300, (6, 120, 96, 8)), (300, 300, (4, 60, 60, 4)), (300, 256, (8, 64, 60, 6))],
)
def test_bonds_of_the_leanest_ordering(in_features, out_features, bonds):
    assert full_bond_dims(*choose_factors(in_features, out_features, preset=None)) == bonds


@pytest.mark.parametrize(
    ("in_features", "out_features", "n", "at_most"),
    [(768, 300, 7, 261_609), (768, 300, 9, 265_768), (300, 300, 7, 97_506), (300, 256, 9, 92_968)],
)
def test_centre_out_orders_stay_lean_with_many_cores(in_features, out_features, n, at_most):
    assert total(in_features, out_features, n) <= at_most


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 2, 3, 4]))
def test_no_other_ordering_is_leaner(in_features, out_features, n):
    orders = product(*(permutations(balanced_factors(size, n)) for size in (in_features, out_features)))
    assert total(in_features, out_features, n) == min(sum(parameter_counts(*order)) for order in orders)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=7))
def test_saturated_count_is_dense_plus_squared_bonds(pairs):
    in_factors, out_factors = zip(*pairs, strict=True)
    size, bonds = math.prod(in_factors) * math.prod(out_factors), full_bond_dims(in_factors, out_factors)
    counts = parameter_counts(in_factors, out_factors)
    assert max(counts) == size
    assert sum(counts) == size + sum(bond**2 for bond in bonds)


def test_only_the_free_side_is_ordered():
    in_factors, out_factors = choose_factors(768, 300, in_factors=(4, 4, 4, 4, 3))
    assert in_factors == (4, 4, 4, 4, 3)
    assert sorted(out_factors) == [2, 2, 3, 5, 5]


def test_padding_reaches_the_next_size_with_small_factors():
    assert padded_size(397, 5) == 400
    assert padded_size(768, 5) == 768
    in_factors, out_factors = choose_factors(397, 300, pad=True)
    assert math.prod(in_factors) == 400 and math.prod(out_factors) == 300


def test_padding_stays_small():
    grown = [padded_size(size, 5) / size - 1 for size in range(64, 1025)]
    assert max(grown) < 0.08 and sum(grown) / len(grown) < 0.013


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(in_factors=(3, 4, 4, 4, 5)), r"\(3, 4, 4, 4, 5\) multiply to 960, but in_features is 768"),
        (dict(out_factors=(2, 3, 5, 5, 1)), r"out_factors .* multiply to 150, but out_features is 300"),
        (dict(out_factors=(2, 3, 5, 5, 1), pad=True), "multiply to 150"),
        (dict(in_factors=(12, 8, 8)), r"in_factors \(12, 8, 8\) has 3 entries, but num_cores is 5"),
        (dict(in_factors=(-3, -4, 4, 4, 4)), "must all be at least 1"),
    ],
)
def test_factors_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_factors(768, 300, **arguments)


def test_bond_caps():
    assert resolve_bond_dims(*PAPER) == (6, 72, 160, 8)
    assert resolve_bond_dims(*PAPER, 64) == (6, 64, 64, 8)
    assert resolve_bond_dims(*PAPER, 1000) == (6, 72, 160, 8)
    assert resolve_bond_dims(*PAPER, (2, 20, 30, 4)) == (2, 20, 30, 4)


@pytest.mark.parametrize(
    ("cap", "message"),
    [
        (0, "at least 1, got 0"),
        ((6, 73, 160, 8), r"bond 2 has dimension 73: eq. \(2\) allows 1 to 72"),
        ((6, 72, 160), "has 3 bonds, but 5 cores have 4"),
        ((1, 72, 160, 8), "bonds 1, 72 of core 1 differ by more than its factors 4 x 3 allow"),
    ],
)
def test_bond_caps_that_do_not_fit(cap, message):
    with pytest.raises(ValueError, match=message):
        resolve_bond_dims(*PAPER, cap)


def test_light_without_capacity_warns():
    factors = choose_factors(397, 768)
    assert light_share(*factors, full_bond_dims(*factors)) == pytest.approx(425 / (397 * 768))
    with pytest.warns(UserWarning, match=r"hold only 0\.14 % of the dense size"):
        warn_if_light_is_empty(*factors, full_bond_dims(*factors))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_light_is_empty(*PAPER, full_bond_dims(*PAPER))
