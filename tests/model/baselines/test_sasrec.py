"""SASRecCE is RecBole's SASRec with its cross-entropy, on whole histories."""

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.common.recbole_globals import sequential_models


def test_sasrec_with_cross_entropy_is_recboles(tiny_settings):
    """One parameter set, no dropout: loss, gradients and scores over an epoch's rows, packed against padded."""
    shared = {key: tiny_settings[key] for key in ("data_path", "use_gpu", "hidden_size", "inner_size", "show_progress")}
    still = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "train_batch_size": 10_000}
    ours = built_run("SASRecCE", "tiny", (), {**shared, **still})
    theirs = built_run("SASRec", "tiny", (), {**shared, **still, "trim_batches": False})
    assert isinstance(theirs.model, sequential_models().SASRec)
    theirs.model.load_state_dict(ours.model.state_dict())
    packed, padded = (next(iter(experiment.loaders[0])) for experiment in (ours, theirs))
    losses = []
    for experiment, batch in ((ours, packed), (theirs, padded)):
        experiment.model.double().train()
        losses.append(experiment.model.calculate_loss(batch))
        losses[-1].backward()
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9)
    reference = dict(theirs.model.named_parameters())
    for name, parameter in ours.model.named_parameters():
        torch.testing.assert_close(parameter.grad, reference[name].grad, rtol=1e-6, atol=1e-9, msg=name)
    rows = theirs.splits[2][np.arange(20)]
    scores = [experiment.model.eval().full_sort_predict(rows) for experiment in (ours, theirs)]
    torch.testing.assert_close(*scores, rtol=1e-9, atol=1e-9)


def test_parameters_are_recboles_by_name_and_shape(tiny_settings):
    shared = {key: tiny_settings[key] for key in ("data_path", "use_gpu", "hidden_size", "inner_size", "show_progress")}
    ours, recboles = (built_run(name, "tiny", (), shared).model.state_dict() for name in ("SASRecCE", "SASRec"))
    assert {name: value.shape for name, value in ours.items()} == {n: value.shape for n, value in recboles.items()}


@pytest.mark.parametrize("item_input", ["id", "text", "text+id"])
def test_pad_learns_and_scores_are_inner_products(tiny_settings, item_input):
    run = built_run("SASRecCE", "tiny", (), {**tiny_settings, "item_input": item_input})
    model = run.model
    vectors = model.encode_items()
    taught = {name.split(".")[0]: parameter for name, parameter in model.named_parameters()}
    gradients = torch.autograd.grad(vectors[0].sum(), list(taught.values()), retain_graph=True, allow_unused=True)
    learning = {name for name, gradient in zip(taught, gradients, strict=True) if gradient is not None}
    assert learning == {"moe_adaptor", "item_embedding"} & taught.keys()
    states = torch.randn(3, 16)
    torch.testing.assert_close(model.score(states, vectors), states @ vectors.t())
