"""The published form that benchmarks time against computes the same loss as the models."""

import importlib.util
from pathlib import Path

import pytest
import torch
from support import built_run

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "published.py"


@pytest.fixture
def published_form():
    spec = importlib.util.spec_from_file_location("published", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PublishedForm


def test_published_form_gives_the_same_loss_and_gradients(tiny_settings, published_form):
    quiet = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "adaptor_dropout_prob": 0.0, "noisy_gating": False}
    settings = {**tiny_settings, **quiet, "train_mode": "pairwise"}
    experiment = built_run("UniSRec", "tiny", (), settings)
    model = experiment.model.double().train()
    with torch.no_grad():
        for expert in model.moe_adaptor.experts:
            # With zero biases PAD's gradient is 1e12 in the published form; ours takes none.
            expert.bias.normal_(std=0.1)
    batch = next(iter(experiment.loaders[0]))
    published = published_form(model, experiment.config).double().train()
    loss = model.calculate_loss(batch)
    torch.testing.assert_close(published.calculate_loss(batch), loss, rtol=1e-12, atol=0)
    model.moe_adaptor.noisy = True
    assert torch.isfinite(published.calculate_loss(batch)), "gates with noise for features of any shape"
    model.moe_adaptor.noisy = False
    names = [name for name, _ in model.trm_encoder.named_parameters()]
    ours = torch.autograd.grad(loss, list(model.trm_encoder.parameters()))
    theirs = torch.autograd.grad(published.calculate_loss(batch), list(model.trm_encoder.parameters()))
    for name, mine, other in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12, msg=name)
