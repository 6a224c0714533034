"""Checks that run in two processes, started by test_distributed: every process has its part, and all have the whole."""

import numpy as np
import torch
from torch import nn

from recbole_mpo.data.batches import pack
from recbole_mpo.data.sequences import Windows
from recbole_mpo.layers.losses import catalogue_cross_entropy, sampled_cross_entropy
from recbole_mpo.layers.ranks import ALONE
from recbole_mpo.model.tasks import MaskedItem, Relevance, SequenceItem, SequenceSequence
from recbole_mpo.trainer.distributed import adding_gradients, joined_ranks, told_by_first

ranks = joined_ranks()
own = ranks.number


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def gathers_rows_of_different_numbers():
    for lengths in ((3, 1), (0, 2), (2, 0)):
        whole = torch.arange(2.0 * sum(lengths)).view(-1, 2)
        rows = whole.split(lengths)[own].clone().requires_grad_()
        gathered = ranks.gather(rows)
        assert torch.equal(gathered, whole), (gathered, whole)
        # Each process weighs the rows in another way; a row's gradient is the sum of both.
        weights = torch.arange(1.0, 1 + whole.numel()).view_as(whole)
        ((own + 1) * weights * gathered).sum().backward()
        assert torch.equal(rows.grad, 3 * weights.split(lengths)[own])


def gathers_whole_numbers():
    ids = torch.tensor([5, 7]) if own == 0 else torch.tensor([9])
    assert ranks.gather(ids).tolist() == [5, 7, 9]


def parts_of_means_add_up():
    values = torch.arange(5.0)
    part = values[:1] if own == 0 else values[1:]
    assert float(ranks.sum(ranks.part_of_mean(part.mean(), len(part)))) == 2.0
    assert float(ranks.part_of_mean(torch.tensor(0.0), 0)) == 0
    none = torch.tensor(0.0) if own == 0 else values.mean()
    assert float(ranks.sum(ranks.part_of_mean(none, 0 if own == 0 else 5))) == 2.0


def losses_without_targets_are_zero():
    items = torch.randn(6, 4, requires_grad=True)
    states, targets = torch.randn(0, 4, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    for loss in (
        catalogue_cross_entropy(states, items, targets),
        catalogue_cross_entropy(states, items, targets, max_logits=4),
        sampled_cross_entropy(states, items, targets, torch.ones(6)),
    ):
        loss.backward()
        assert float(loss) == 0 and float(items.grad.abs().sum()) == 0


def gradients_are_added_before_they_are_clipped():
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    weights[0].grad = torch.tensor([3.0, 0.0]) if own == 0 else torch.tensor([0.0, 4.0])
    if own == 1:
        weights[1].grad = torch.tensor([0.0])
    with adding_gradients(ranks, optimizer, {"max_norm": 1.0}):
        optimizer.step()
    close(weights[0].detach(), torch.tensor([-0.6, -0.8]))
    assert weights[1].grad is not None and weights[2].grad is None


def the_first_decides():
    assert told_by_first(ranks, lambda: f"from {own}") == "from 0"
    assert ranks.of_first(torch.tensor([own])).tolist() == [0]


def rows_before_are_counted():
    assert ranks.rows_before(3 + own) == (3 if own else 0)


def tasks_of_a_process_without_rows_are_zero():
    """One history is a single row, so that the second process has none."""
    batch = pack(np.array([3, 1, 2, 5]), Windows(*map(np.array, ([0], [3], [3], [0]))))
    for task in (SequenceItem(False), SequenceSequence(False), Relevance(), MaskedItem(4, 0.1)):
        torch.manual_seed(0)
        model = TinyModel(ranks)
        part = task(model, batch.dealt(own, 2))
        part.backward()
        assert torch.isfinite(part) and torch.isfinite(model.table.grad).all(), type(task)
        if isinstance(task, SequenceItem | Relevance):
            torch.manual_seed(0)
            alone = task(TinyModel(ALONE), batch)
            close(ranks.sum(part).float(), alone.detach())


class TinyModel:
    """Item vectors from a table, and states that are sums of what precedes them."""

    def __init__(self, its_ranks):
        self.ranks, self.scoring, self.sequence = its_ranks, self, self
        self.table = torch.randn(7, 4).requires_grad_()

    def encode_items(self, ids):
        return self.table[ids]

    def encode_shared_items(self, ids):
        return self.ranks.gather(self.encode_items(ids[self.ranks.share(len(ids))]))

    def predicting_states(self, vectors, items, batch):
        return vectors[items].cumsum(dim=1).flatten(0, 1)[batch.predicting]

    def encode_sequences(self, vectors, rows, lengths):
        return vectors[rows].sum(dim=1)

    def states_from_both_sides(self, vectors, is_padding):
        return vectors + vectors.sum(dim=1, keepdim=True)

    def view(self, states, task=None):
        return states

    def queries(self, states, task=None):
        return states

    def candidates(self, vectors):
        return vectors


for check in (
    gathers_rows_of_different_numbers,
    gathers_whole_numbers,
    parts_of_means_add_up,
    losses_without_targets_are_zero,
    gradients_are_added_before_they_are_clipped,
    the_first_decides,
    rows_before_are_counted,
    tasks_of_a_process_without_rows_are_zero,
):
    torch.manual_seed(0)
    check()
