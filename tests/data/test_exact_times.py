"""Different times stay different numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.exact_times import exact_numbers


def cells_of(*cells):
    return np.array(cells, dtype=object)


@pytest.mark.parametrize(
    "cells, expected, kind",
    [
        (("3", "1", "2"), [3, 1, 2], "i"),
        (("1700000000000000001", "1700000000000000002"), [1700000000000000001, 1700000000000000002], "i"),
        (("18446744073709551615", "0"), [18446744073709551615, 0], "u"),
        (("1.5", "2"), [1.5, 2.0], "f"),
        # Seven decimals of today's seconds are different in float64; nine are not.
        (("1700000000.1234567", "1700000000.7654321"), [1700000000.1234567, 1700000000.7654321], "f"),
        (("1700000000.000000002", "1700000000.000000001", "5"),
         [1700000000000000002, 1700000000000000001, 5_000_000_000], "i"),
        (("9007199254740993", "9007199254740992", "0.5"), [90071992547409930, 90071992547409920, 5], "i"),
    ],
)  # fmt: skip
def test_numbers_are_kept_exactly(cells, expected, kind):
    numbers = exact_numbers(cells_of(*cells))
    assert numbers.dtype.kind == kind and numbers.tolist() == expected


def test_what_is_not_a_number_is_left_to_the_caller():
    assert np.isnan(exact_numbers(cells_of("1", "soon"))[1])


def test_numbers_that_no_form_tells_apart_are_refused():
    with pytest.raises(DataError, match="different times are one number in 64 bits"):
        exact_numbers(cells_of("1700000000.00000000000000000001", "1700000000.00000000000000000002"))


@given(
    st.lists(st.tuples(st.integers(0, 2 * 10**9), st.integers(0, 10**9 - 1)), min_size=1, max_size=8),
    st.integers(1, 9),
)
def test_the_order_is_that_of_exact_arithmetic(pairs, digits):
    texts = [f"{whole}.{fraction:09}"[: -9 + digits or None] for whole, fraction in pairs]
    numbers = exact_numbers(cells_of(*texts)).tolist()
    exact = [Fraction(text) for text in texts]
    for one in range(len(texts)):
        for other in range(len(texts)):
            assert (numbers[one] < numbers[other]) == (exact[one] < exact[other])
