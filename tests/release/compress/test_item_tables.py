"""Stored item vectors: scores in their own space are those of the whole one."""

import pytest
import torch
from release.compress.tiny_models import ITEMS, scores_of, tiny_model

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.scoring import CosineScoring
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.item_tables import (
    TABLE,
    ReducedScoring,
    StoredItems,
    item_fp16,
    item_int8,
    item_pca,
    item_svd,
    store_items,
)


def test_stored_vectors_are_those_that_were_computed():
    model, reference = tiny_model(), tiny_model()
    store = store_items(model)
    with torch.no_grad():
        assert torch.equal(store.table, reference.encode_items())
        some = torch.tensor([3, 1])
        assert torch.allclose(model.encode_items(some), reference.encode_items(some), atol=1e-6)
    assert torch.equal(scores_of(model), scores_of(reference))
    assert not any("adaptor" in name for name in model.state_dict())
    assert store_items(model) is store and isinstance(model.items, StoredItems)
    assert not model.uses_text and not model.scores_text_alone


@pytest.mark.parametrize("method", [item_pca, item_svd])
class TestFewerNumbers:
    def test_the_error_is_the_tail_of_the_singular_values(self, method):
        model, context = tiny_model(), Context()
        with torch.no_grad():
            vectors = model.encode_items()[1:].double()
        method(model, 0.5, context)
        (note,) = context.notes.values()
        # One number more for the mean; item 5 has no text and no vector, and keeps none.
        assert note["numbers_per_item"] == (11 if method is item_pca else 10) == model.items.store.table.shape[1]
        vectors = vectors[vectors.any(dim=1)]
        centred = vectors - vectors.mean(dim=0) if method is item_pca else vectors
        tail = torch.linalg.svdvals(centred)[10:]
        with torch.no_grad():
            stored = model.encode_items().double()
            lost = (stored[[*range(1, 5), *range(6, ITEMS)]] - vectors).norm()
            assert not stored[5].any()
        assert float(lost) == pytest.approx(float(tail.norm()), rel=1e-4)
        assert note["energy_kept"] == pytest.approx(1 - float(tail.square().sum() / centred.square().sum()), abs=1e-6)

    def test_scores_in_the_smaller_space_are_cosines(self, method):
        model = tiny_model()
        method(model, 0.5, Context())
        assert isinstance(model.scoring, ReducedScoring)
        smaller = scores_of(model)
        with torch.no_grad():
            assert model.candidates(model.encode_items()).shape == (ITEMS, 11 if method is item_pca else 10)
        model.scoring = CosineScoring(model.scoring.whole.temperature)
        assert torch.allclose(smaller, scores_of(model), atol=1e-4)

    def test_all_numbers_change_nothing(self, method):
        model = tiny_model()
        method(model, 0.01, Context())
        assert torch.allclose(scores_of(model), scores_of(tiny_model()), atol=1e-3)


@pytest.mark.parametrize("method, error", [(item_int8, 1 / 254), (item_fp16, 1 / 2048)])
def test_rounded_vectors_differ_by_half_a_step(method, error):
    model, context = tiny_model(), Context()
    with torch.no_grad():
        before = model.encode_items()
    method(model, None, context)
    with torch.no_grad():
        after = model.encode_items()
    largest = before.abs().amax(dim=1, keepdim=True)
    assert ((after - before).abs() <= 1.001 * error * largest).all() and not torch.equal(after, before)
    assert torch.equal(after, context.forms[TABLE].decode())


def test_ids_in_the_scores_are_refused():
    model = tiny_model(item_input="text+id", id_side="output")
    with pytest.raises(ConfigError, match="id_side=output"):
        store_items(model)
