"""Histories become rows of their newest items, and results leave out what is in them."""

import numpy as np
import torch
from model_folders import HISTORIES, answers, recommender_of

from recbole_mpo.release.ranked_histories import best_after, padded


def test_the_newest_items_are_padded_on_the_right():
    rows, lengths = padded([np.array([1, 2, 3, 4]), np.array([9])], 3, "cpu")
    assert rows.tolist() == [[2, 3, 4], [9, 0, 0]] and lengths.tolist() == [3, 1]


def test_the_best_are_those_of_recommend(tiny_settings):
    recommender = recommender_of(tiny_settings)
    now, model = recommender._now, recommender.model
    rows = [now.rows(history, {}) for history in HISTORIES]
    with torch.no_grad():
        batch = padded(rows, model.max_seq_length, "cpu")
        found = best_after(now, rows, batch, None, torch.tensor([0, 2]), 4)
    expected = answers(recommender, topk=4, exclude=[now.tokens[2]])
    assert [[(item.token, item.score, item.title) for item in items] for items in found] == expected
