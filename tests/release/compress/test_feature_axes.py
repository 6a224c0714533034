"""Components of the features: nothing is lost but what they leave out."""

import pytest
import torch
from release.compress.tiny_models import FEATURES, scores_of, tiny_model

from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.feature_axes import feature_pca, principal_axes


def test_all_components_change_nothing():
    model = tiny_model()
    feature_pca(model, 0.001, Context())
    assert model.item_table.features.shape[1] == FEATURES + 1 == model.feature_size
    assert torch.allclose(scores_of(model), scores_of(tiny_model()), atol=2e-4)


def test_few_components_are_those_of_the_projected_features():
    model, projected, context = tiny_model(), tiny_model(), Context()
    feature_pca(model, 0.5, context)
    has_text = ~projected.item_table.is_empty
    features = projected.item_table.features
    mean, axes = principal_axes(features[has_text], FEATURES // 2)
    nearest = ((features.double() - mean) @ axes @ axes.t() + mean).float()
    projected.item_table.features = torch.where(has_text.unsqueeze(1), nearest, features)
    with torch.no_grad():
        assert torch.allclose(model.encode_items()[has_text], projected.encode_items()[has_text], atol=1e-4)
    lost = (nearest - features)[has_text].square().sum()
    spread = (features[has_text] - features[has_text].mean(dim=0)).square().sum()
    assert context.notes["feature-pca"]["variance_kept"] == pytest.approx(float(1 - lost / spread), abs=1e-5)


def test_axes_are_orthonormal_and_of_the_rows_that_there_are():
    _, axes = principal_axes(torch.randn(4, 9), 9)
    assert axes.shape == (9, 4)
    assert torch.allclose(axes.t() @ axes, torch.eye(4).double(), atol=1e-12)
