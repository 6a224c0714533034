"""What a state and an item vector make of each other."""

import pytest
import torch
import torch.nn.functional as F

from recbole_mpo.model.scoring import CosineScoring, InnerProductScoring, TextAndIdScoring


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


def test_ids_in_vectors_share_the_score_with_the_text(states_and_vectors):
    """Both parts of a vector are divided by its length."""
    states, texts = states_and_vectors
    ids = torch.randn(7, 5, dtype=torch.float64)
    for scoring in (InnerProductScoring(), CosineScoring(0.07)):
        whole, rows = scores(scoring, states, texts + ids), torch.arange(7)
        of_ids = scoring.id_scores(scoring.queries(states), rows, texts + ids, ids)
        of_texts = scoring.id_scores(scoring.queries(states), rows, texts + ids, texts)
        torch.testing.assert_close(of_ids + of_texts, whole)
        torch.testing.assert_close(of_ids[:, 0], whole[:, 0])
        assert scoring.id_scores(states, rows, texts, None) is None


class TestTextAndIds:
    @pytest.fixture
    def scoring(self):
        """A scoring of seven items with ids of size 2, trained a little."""
        torch.manual_seed(1)
        scoring = TextAndIdScoring(0.5, 7, 5, 2, 0.9, 0.9)
        ids = scoring.modules["item_ids"].double().eval()
        torch.nn.init.normal_(ids.table)
        torch.nn.init.normal_(ids.bias)
        return scoring

    def test_ids_and_biases_add_to_the_cosines(self, states_and_vectors, scoring):
        states, vectors = states_and_vectors
        ids = scoring.modules["item_ids"]
        by_id = (states @ ids.query.weight.t() + ids.query.bias) @ ids.table.t() + ids.bias.t()
        expected = scores(CosineScoring(0.5), states, vectors) + by_id
        torch.testing.assert_close(scores(scoring, states, scoring.rows(slice(0, 7), vectors)), expected)

    def test_rows_by_number_are_those_of_a_stretch(self, states_and_vectors, scoring):
        _, vectors = states_and_vectors
        ids = torch.tensor([5, 0, 5])
        assert torch.equal(scoring.rows(ids, vectors[ids]), scoring.rows(slice(0, 7), vectors)[ids])

    def test_a_text_without_an_id_is_scored_by_its_cosine_alone(self, states_and_vectors, scoring):
        states, vectors = states_and_vectors
        scored = scores(scoring, states, scoring.rows_of_text(vectors))
        torch.testing.assert_close(scored, scores(CosineScoring(0.5), states, vectors))

    def test_ids_change_nothing_at_the_start(self, states_and_vectors):
        states, vectors = states_and_vectors
        scoring = TextAndIdScoring(0.5, 7, 5, 2, 0.5)
        scoring.modules["item_ids"].double()
        scored = scores(scoring, states, scoring.rows(slice(0, 7), vectors))
        torch.testing.assert_close(scored, scores(CosineScoring(0.5), states, vectors))

    def test_some_states_are_trained_without_ids(self, scoring):
        torch.manual_seed(2)
        ids = scoring.modules["item_ids"].train()
        states = torch.ones(1000, 5, dtype=torch.float64)
        goes_without = (scoring.queries(states)[:, 5:] == 0).all(dim=1)
        assert 850 < goes_without.sum() < 950
        assert (ids.eval().queries(states)[:, -1] == 1).all()
