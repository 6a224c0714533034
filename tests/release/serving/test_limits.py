"""Limits, and the form of a refusal."""

import pytest

from recbole_mpo.release.serving.limits import RequestError, check_length


def test_an_error_has_three_parts():
    problem = RequestError(422, "unknown_item", "unknown item 'a'", "history.0")
    assert problem.content == {"error": {"code": "unknown_item", "message": "unknown item 'a'", "field": "history.0"}}
    assert RequestError(503, "busy", "try again").content["error"]["field"] is None


def test_a_length_is_checked_up_to_the_limit():
    check_length("history", ["a"] * 3, 3)
    check_length("filter.items", None, 3)
    with pytest.raises(RequestError, match="history has 4 entries; the most are 3") as caught:
        check_length("history", ["a"] * 4, 3)
    assert (caught.value.status, caught.value.field) == (422, "history")
