"""Marks of groups and axes of plots."""

import pytest

from recbole_mpo.study.report_plots import COLOURS, DASHES, SYMBOLS, colour, dash, marker, name_of, scale_of


def test_no_two_groups_look_alike():
    many = len(COLOURS) * len(SYMBOLS)
    marks = [marker(place) for place in range(many)]
    assert len({(mark["color"], mark["symbol"]) for mark in marks}) == many
    lines = [(colour(place), dash(place)) for place in range(len(COLOURS) * len(DASHES))]
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize(
    ("text", "shown"), [("a & b", "a &amp; b"), ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"), ('"quoted"', '"quoted"')]
)
def test_names_are_shown_as_they_are(text, shown):
    assert name_of(text) == shown


@pytest.mark.parametrize("values", [[], [0, 0], [3, 5], [10, 80]])
def test_values_of_one_size_have_a_plain_axis(values):
    assert scale_of(values) == {}


def test_values_far_apart_have_a_logarithmic_axis_with_whole_numbers():
    scale = scale_of([0, 12, 2_000_000])
    assert scale["type"] == "log" and scale["tickvals"][:4] == pytest.approx([10, 20, 50, 100])
    assert max(scale["tickvals"]) == pytest.approx(5e7)
