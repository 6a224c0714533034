"""Statistics are those of a paper's table, and of text only where there is some."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.statistics import Statistics


def test_they_follow_from_counts_and_texts():
    statistics = Statistics.of(3, 4, 21, ["red lamp", "a  blue cup", "", "--"])
    assert statistics == Statistics(3, 4, 21, 7.0, 1.5, 2)
    assert statistics.counts == (3, 4, 21)
    assert statistics.rows() == [
        ("users", "3"),
        ("items", "4"),
        ("interactions", "21"),
        ("interactions per user", "7.00"),
        ("words per text", "1.50"),
        ("items without text", "2"),
    ]


def test_large_counts_have_commas_and_without_texts_there_is_no_word_of_them():
    statistics = Statistics.of(8_442, 4_385, 59_427, None)
    assert (statistics.mean_words, statistics.without_text) == (None, None)
    assert [value for _, value in statistics.rows()] == ["8,442", "4,385", "59,427", "7.04"]


def test_no_interactions_are_an_error():
    with pytest.raises(DataError, match="the dataset has no interactions"):
        Statistics.of(0, 0, 0, [])
