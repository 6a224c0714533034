"""Times of tables: numbers and dates of any precision stay in their order."""

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.data.prepare.times import Times


def times_of(*blocks, form=None):
    times = Times("a.csv, column 'time'", form)
    for block in blocks:
        times.add(np.array(block, dtype=object))
    return times.values().tolist()


@pytest.mark.parametrize(
    "cells, expected",
    [
        (["1600000000123", "5"], [1600000000123, 5]),
        (["1.5", "2"], [1.5, 2.0]),
        (["2020-09-13T12:26:40.123Z", "1970-01-01"], [1600000000123, 0]),
        (["2020-09-13 14:26:40+02:00"], [1600000000000]),
        ([], []),
    ],
)
def test_numbers_and_dates(cells, expected):
    assert times_of(cells) == expected


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (("00.000003", "00.000002", "00.000001"), [3, 2, 1]),
        (("00.000000003", "00.000000002", "00.000000001"), [3, 2, 1]),
        (("00.003", "00.002", "00.001"), [3, 2, 1]),
        (("00.003", "00.0020001", "01"), [3_000_000, 2_000_100, 1_000_000_000]),
    ],
)
def test_dates_keep_the_precision_that_they_are_written_with(seconds, expected):
    """Cut to milliseconds, interactions within one millisecond would stay in the order of the file."""
    dates = [f"1970-01-01T00:00:{second}Z" for second in seconds]
    assert times_of(dates) == expected == times_of(*([date] for date in dates))


def test_numbers_keep_their_precision_whatever_block_they_are_in():
    first = 170_000_000_000_000_001
    assert times_of([str(first)], ["0.5"], [str(first + 1)]) == [10 * first, 5, 10 * first + 10]
    assert times_of([str(2**63 + 1)], ["1"]) == [2**63 + 1, 1]


def test_numbers_and_dates_cannot_be_mixed():
    """The unit of a number is unknown, so nothing says which of the two is older."""
    for blocks in (["2011"], ["2012-05-01"]), (["2012-05-01"], ["2011"]):
        with pytest.raises(DataError, match="column 'time': '2011' is a number and other cells are dates"):
            times_of(*blocks)


def test_parts_of_a_nanosecond_are_refused():
    assert times_of(["1970-01-01T00:00:00.0000000010Z"]) == [1]
    with pytest.raises(DataError, match="has parts of a nanosecond"):
        times_of(["1970-01-01T00:00:00.0000000011Z"])


def test_numbers_that_64_bits_cannot_tell_apart_are_refused():
    with pytest.raises(DataError, match="column 'time': different times are one number in 64 bits"):
        times_of(["1700000000.00000000000000000001", "1700000000.00000000000000000002"])


def test_a_format_is_followed():
    assert times_of(["02.01.1970"], form="%d.%m.%Y") == [86_400_000]
    assert times_of(["02.01.1970 00:00:00.000001"], form="%d.%m.%Y %H:%M:%S.%f") == [86_400_000_001]


def test_a_format_that_is_none_is_named():
    with pytest.raises(ConfigError, match="'%d %' is not a valid date format"):
        times_of(["1"], form="%d %")


@pytest.mark.parametrize("form", [None, "%d.%m.%Y"])
def test_neither_number_nor_date_is_quoted(form):
    with pytest.raises(DataError, match="a.csv, column 'time': 'soon' is neither"):
        times_of(["soon", "1970-01-01"], form=form)


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("21.04.2025 10:56", "'%d.%m.%Y %H:%M'"),
        ("21.04.2025", "'%d.%m.%Y'"),
        ("04/21/2025 1:05 PM", "'%m/%d/%Y %I:%M %p'"),
        ("21 Apr 2025, 10:56", "'%d %b %Y, %H:%M'"),
    ],
)
def test_a_date_of_another_form_is_answered_with_its_format(cell, form):
    with pytest.raises(DataError) as caught:
        times_of([cell])
    assert f"give --time_format={form} if that is how it is meant" in str(caught.value)
    assert times_of([cell], form=form.strip("'"))


def test_a_date_of_no_usual_form_is_answered_with_an_example():
    with pytest.raises(DataError, match="give --time_format=FORMAT, for example '%d.%m.%Y %H:%M'"):
        times_of(["the day before yesterday"])
