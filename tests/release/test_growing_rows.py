"""A table grows in place as long as there is room; what was there before stays as it was."""

import torch
from hypothesis import given
from hypothesis import strategies as some

from recbole_mpo.release import growing_rows
from recbole_mpo.release.growing_rows import GrowingRows


@given(some.lists(some.integers(0, 5), max_size=12))
def test_rows_are_those_that_were_added(counts):
    table, expected = GrowingRows.of(torch.zeros(3, 2)), torch.zeros(3, 2)
    for count in counts:
        more = torch.randn(count, 2)
        before, old = table, table.rows.clone()
        table, expected = table.with_more(more), torch.cat([expected, more])
        assert torch.equal(table.rows, expected) and torch.equal(before.rows, old)


def test_most_additions_copy_nothing():
    table, addresses = GrowingRows.of(torch.zeros(5000, 4)), set()
    for _ in range(3000):
        table = table.with_more(torch.ones(1, 4))
        addresses.add(table.rows.data_ptr())
    assert table.count == 8000 and len(addresses) <= 4


def test_a_table_that_grew_twice_from_one_state_has_two_ends(monkeypatch):
    monkeypatch.setattr(growing_rows, "LEAST_SPARE", 10)
    first = GrowingRows.of(torch.zeros(2, 1)).with_more(torch.ones(1, 1))
    one, other = (first.with_more(torch.full((2, 1), value)) for value in (2.0, 3.0))
    assert one.rows.flatten().tolist() == [0, 0, 1, 2, 2] and other.rows.flatten().tolist() == [0, 0, 1, 3, 3]
