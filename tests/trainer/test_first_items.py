"""What is recommended: counted over batches, and what follows from the counts."""

import numpy as np
import torch

from recbole_mpo.layers.ranks import ALONE
from recbole_mpo.trainer.first_items import TOP, FirstItems
from recbole_mpo.trainer.ranking import ranks_of_targets


def test_items_at_the_top_of_each_row_are_counted_over_batches():
    scores = torch.arange(40.0).expand(2, 40).clone()
    scores[1] = -scores[1]
    first = FirstItems(40, torch.device("cpu"))
    ranks_of_targets(scores.clone(), torch.tensor([39, 1]), first=first)
    ranks_of_targets(scores[:1].clone(), torch.tensor([1]), first=first)
    counts = first.counts_N.tolist()
    assert counts[30:] == [2] * 10 and counts[1:11] == [1] * 10 and sum(counts) == 3 * TOP
    popularity = np.arange(40)
    expected = (2 * sum(range(30, 40)) + sum(range(1, 11))) / 30
    metrics = first.metrics(popularity, ALONE)
    assert metrics == {"coverage@10": 20 / 39, "popularity@10": expected}


def test_pad_and_known_items_are_not_shown():
    first = FirstItems(5, torch.device("cpu"))
    scores = torch.tensor([[9.0, 4.0, 3.0, 2.0, 1.0]])
    ranks_of_targets(scores, torch.tensor([4]), (torch.tensor([0]), torch.tensor([1])), first)
    assert first.counts_N.tolist() == [0, 0, 1, 1, 1]


def test_nothing_shown_has_no_popularity():
    assert FirstItems(5, torch.device("cpu")).metrics(np.ones(5), ALONE) == {"coverage@10": 0.0, "popularity@10": 0.0}
