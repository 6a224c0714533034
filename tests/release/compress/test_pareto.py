"""Plots of quality against cost: the front is what nothing beats, and the picture is well-formed."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release.compress.report_rows import ROWS

from recbole_mpo.release.compress.methods import METHODS
from recbole_mpo.release.compress.pareto import FAMILIES, PANELS, draw_pareto, front

points = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(points)
def test_nothing_beats_a_point_of_the_front(pairs):
    costs, values = zip(*pairs, strict=True)
    places = set(front(list(costs), list(values)))
    for n, (cost, value) in enumerate(pairs):
        is_beaten = any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in pairs)
        assert (n in places) <= (not is_beaten)
        assert is_beaten or any(pairs[place] == pairs[n] for place in places)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_the_picture_has_a_point_per_variant_and_cost(rows):
    picture = ElementTree.fromstring(draw_pareto(rows))
    space = "{http://www.w3.org/2000/svg}"
    titles = [title.text for title in picture.iter(f"{space}title")]
    assert len(titles) == len(rows) * len(PANELS)
    if len(rows) > 1:
        assert "svd:0.5, trained for 5: 1, 0.0600" in titles
    numbers = [float(circle.get(key)) for circle in picture.iter(f"{space}circle") for key in ("cx", "cy")]
    assert all(0 <= number <= 1400 for number in numbers)


def test_without_times_there_are_no_milliseconds():
    rows = [{key: value for key, value in row.items() if key != "latency_ms"} for row in ROWS[:1]] + ROWS[1:]
    picture = draw_pareto(rows)
    assert "milliseconds" not in picture and "milliseconds" in draw_pareto(ROWS)
    ElementTree.fromstring(picture)


def test_every_method_has_a_family():
    named = [name for _, names in FAMILIES.values() for name in names]
    assert set(named) == {*METHODS, "uncompressed", "as trained"} and len(named) == len(set(named))
