"""Item memory against the formula written out with dense tables."""

import math

import pytest
import torch
from scipy import sparse

from recbole_mpo.layers.item_memory import ItemMemory, newest_items
from recbole_mpo.layers.losses import SparseLogits

ITEMS, WEIGHTS = 12, [1.0, 0.5, 0.25]


@pytest.fixture
def table():
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 3, (ITEMS, ITEMS), generator=generator).triu(1)
    counts[0] = 0
    counts[8, 8] = 1
    return (counts + counts.t()).double()


@pytest.fixture
def memory(table):
    csr = sparse.csr_matrix(table.numpy())
    tables = (torch.from_numpy(part) for part in (csr.indptr, csr.indices, csr.data))
    memory = ItemMemory(*tables, WEIGHTS, factor=5.0)
    with torch.no_grad():
        memory.weight.fill_(0.7)
    return memory


RECENT = torch.tensor([[3, 5, 5], [7, 1, 2], [9, 4, 4], [4, 6, 4], [8, 8, 1], [11, 11, 3]])
EXISTS = torch.ones_like(RECENT, dtype=torch.bool)
EXISTS[1, 2] = EXISTS[2, 1:] = EXISTS[5] = False


def test_the_newest_items_come_first():
    items, exists = newest_items(torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), torch.tensor([4, 2]), 3)
    assert exists.tolist() == [[True, True, True], [True, True, False]]
    assert items[exists].tolist() == [7, 6, 5, 9, 8]


def dense(memory, table, targets=None):
    """a * log(1 + 5 * sum_k w_k C[x_k, j]), entry by entry."""
    logits = torch.zeros(len(RECENT), ITEMS, dtype=torch.float64)
    for row in range(len(RECENT)):
        for item in range(ITEMS):
            total = 0.0
            for age, weight in enumerate(WEIGHTS):
                if EXISTS[row, age]:
                    count = table[RECENT[row, age], item].item()
                    # The training pair is (last item, target), and C counts it in both directions.
                    is_own = targets is not None and RECENT[row, age] == RECENT[row, 0] and targets[row].item() == item
                    total += weight * (count - is_own * (2 if RECENT[row, 0] == item else 1))
            logits[row, item] = 0.7 * math.log1p(5.0 * max(float(total), 0.0))
    return logits


@pytest.mark.parametrize("trains", [False, True])
def test_what_is_added_is_the_formula(memory, table, trains):
    targets = None
    if trains:
        targets = torch.tensor([table[x].argmax() for x in RECENT[:, 0]])  # neighbours, as training pairs are
        targets[4] = 8  # an item after itself
    logits = memory(RECENT, EXISTS, targets).add_to(torch.zeros(len(RECENT), ITEMS))
    torch.testing.assert_close(logits.double(), dense(memory, table, targets), rtol=1e-5, atol=1e-6)


def test_no_place_occurs_twice_and_a_row_without_items_gets_nothing(memory):
    added = memory(RECENT, EXISTS)
    places = list(zip(added.rows.tolist(), added.columns.tolist(), strict=True))
    assert len(set(places)) == len(places) and 5 not in added.rows


def test_the_weight_starts_at_zero_and_takes_a_gradient(memory):
    fresh = ItemMemory(memory.starts, memory.neighbours, memory.counts, WEIGHTS, 5.0)
    added = fresh(RECENT, EXISTS)
    assert not added.values.any()
    added.values.sum().backward()
    assert fresh.weight.grad > 0
    assert [name for name, _ in fresh.named_parameters()] == ["weight"]


def test_added_entries_may_go_beyond_the_catalogue():
    """Scores have more columns than the table where items that only have text are candidates."""
    added = SparseLogits(torch.tensor([1]), torch.tensor([2]), torch.tensor([4.0]))
    assert added.add_to(torch.zeros(2, 7)).nonzero().tolist() == [[1, 2]]
