"""What a state and an item vector make of each other."""

import pytest
import torch
import torch.nn.functional as F

from recbole_mpo.model.scoring import CosineScoring, InnerProductScoring


@pytest.fixture
def states_and_vectors():
    """States [3, 5] and item vectors [7, 5], of which the first is zero."""
    torch.manual_seed(0)
    states, vectors = torch.randn(3, 5, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    vectors[0] = 0
    return states, vectors


def scores(scoring, states, vectors):
    return scoring.queries(states) @ scoring.candidates(vectors).t()


def test_inner_products_are_of_states_and_vectors_as_they_are(states_and_vectors):
    states, vectors = states_and_vectors
    scoring = InnerProductScoring()
    assert scoring.queries(states) is states and scoring.candidates(vectors) is vectors
    assert torch.equal(scores(scoring, states, vectors), states @ vectors.t())


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_cosines_are_divided_by_the_temperature(states_and_vectors, temperature):
    states, vectors = states_and_vectors
    expected = F.cosine_similarity(states.unsqueeze(1), vectors.unsqueeze(0), dim=2) / temperature
    torch.testing.assert_close(scores(CosineScoring(temperature), states, vectors), expected)


def test_an_item_of_nothing_scores_zero_and_takes_no_gradient(states_and_vectors):
    states, vectors = states_and_vectors
    vectors.requires_grad_()
    scored = scores(CosineScoring(0.07), states, vectors)
    assert not scored[:, 0].any()
    scored.sum().backward()
    assert not vectors.grad[0].any() and vectors.grad[1:].all(dim=1).all()


@pytest.mark.parametrize("scoring", [InnerProductScoring(), CosineScoring(0.07)])
def test_neither_registers_a_module_or_changes_rows(states_and_vectors, scoring):
    _, vectors = states_and_vectors
    assert scoring.modules == {}
    assert scoring.rows(slice(0, 7), vectors) is vectors and scoring.rows_of_text(vectors) is vectors


def test_lengths_do_not_matter_to_cosines(states_and_vectors):
    states, vectors = states_and_vectors
    scoring = CosineScoring(0.5)
    torch.testing.assert_close(scores(scoring, 3 * states, 0.2 * vectors), scores(scoring, states, vectors))
