"""Cells of a report: what is shown, and by what a page sorts."""

import pytest

from recbole_mpo.study.report_parts import Shown, count, number, words


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (number(0.12345678), Shown("0.1235", 0.12345678)),
        (number(-0.5, "+.1f"), Shown("-0.5", -0.5)),
        (number(None), Shown("")),
        (count(2109304), Shown("2,109,304", 2109304.0)),
        (count(1.5), Shown("2", 1.5)),
        (count(None), Shown("")),
        (words([2020, 2021]), Shown("2020, 2021")),
        (words([2020]), Shown("2020", 2020)),
        (words(["44 of 50"]), Shown("44 of 50")),
        (words([]), Shown("")),
    ],
)
def test_cells(cell, expected):
    assert cell == expected
