"""Shares and parts of means, without other processes; what needs two of them is in trainer/together.py."""

import torch

from recbole_mpo.layers.ranks import ALONE, Ranks


def test_shares_of_rows_follow_one_another():
    shares = [Ranks(number, 3).share(10) for number in range(3)]
    assert [list(range(10))[share] for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_a_process_without_others_changes_and_sends_nothing():
    rows = torch.randn(3, 2, requires_grad=True)
    assert ALONE.gather(rows) is rows and ALONE.part_of_mean(rows, 3) is rows and ALONE.of_first(rows) is rows
    total = ALONE.sum(rows)
    assert torch.equal(total, rows) and not total.requires_grad
    assert ALONE.is_first and not Ranks(1, 2).is_first
    ALONE.wait()
