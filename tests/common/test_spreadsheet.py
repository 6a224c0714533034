"""What a spreadsheet would take for a formula, and what it must not be kept from reading."""

import pytest

from recbole_mpo.common.spreadsheet import safe_cell


@pytest.mark.parametrize("text", ["=cmd|'/c calc'!A1", "@SUM(A1)", "+1+2", "-2+3", "=1", "- item"])
def test_formulas_become_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "MPORec", "-0.25", "+0.0010", "1e-05", "-1e-05", "a=b", "'quoted"])
def test_numbers_and_other_texts_stay(text):
    assert safe_cell(text) == text


def test_no_cell_has_a_second_line_or_a_control_character():
    assert safe_cell("a\r\nb\tc\x1b[31m") == r"a\r\nb\tc\x1b[31m"
    # A tab or line end before the sign does not hide it.
    assert safe_cell("\t=1") == r"\t=1"
