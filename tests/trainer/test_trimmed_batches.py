"""Batches in trimmed groups give the losses, gradients and scores of RecBole's padded batches."""

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.data.packing import MAX_PADDING, bucket_edges, similar_rows
from recbole_mpo.trainer.trimmed_batches import trimmed_loss, trimmed_scores

SHARED = ("data_path", "checkpoint_dir", "show_progress", "use_gpu", "seed")
SMALL = {
    "SASRec": {"hidden_size": 16, "inner_size": 16},
    "GRU4Rec": {"hidden_size": 16, "embedding_size": 16},
    # No first item is predicted, so that a third is needed for rows of several.
    "BERT4Rec": {"hidden_size": 16, "inner_size": 16, "mask_ratio": 0.4},
}
NAMES = pytest.mark.parametrize("name", SMALL)
# Histories of tiny have 1 to 13 items: always short of 20, often as long as 5.
LONGEST = pytest.mark.parametrize("longest", [20, 5])
CASES = pytest.mark.parametrize(
    ("name", "changes"),
    [(name, {"loss_type": loss_type}) for name in ("SASRec", "GRU4Rec") for loss_type in ("CE", "BPR")]
    + [("BERT4Rec", {"loss_type": loss_type, "ft_ratio": ratio}) for loss_type in ("CE", "BPR") for ratio in (0, 1)],
)


@pytest.fixture(autouse=True)
def double_precision():
    """By default, because BERT4Rec makes tensors of the default type."""
    former = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(former)


@pytest.fixture
def build(tiny_settings):
    """A small model without dropout, its weights large enough to matter; and its loaders."""

    def make(name, longest=20, **changes):
        shared = {key: tiny_settings[key] for key in SHARED}
        settings = {**shared, **SMALL.get(name, {}), "MAX_ITEM_LIST_LENGTH": longest, **changes}
        experiment = built_run(name, "tiny", (), settings)
        model = experiment.model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.3)
        return model, experiment.loaders

    return make


def first_batch(loader):
    batch = next(iter(loader))
    return batch[0] if isinstance(batch, tuple) else batch


def recorded(monkeypatch, model, method):
    """The batches that the model's method is called with from here on."""
    calls, original = [], getattr(model, method)
    monkeypatch.setattr(model, method, lambda batch: calls.append(batch) or original(batch))
    return calls


def same(ours, recboles, what=None):
    torch.testing.assert_close(ours, recboles, rtol=1e-9, atol=1e-12, msg=what and (lambda text: f"{what}: {text}"))


@CASES
@LONGEST
def test_loss_and_gradients_are_those_of_the_padded_batch(build, name, longest, changes):
    model, loaders = build(name, longest, **changes)
    batch = first_batch(loaders[0])
    names, parameters = zip(*model.named_parameters(), strict=True)
    padded, trimmed = model.calculate_loss(batch), trimmed_loss(model, batch)
    same(trimmed, padded)
    gradients = [torch.autograd.grad(loss, parameters) for loss in (trimmed, padded)]
    for parameter, ours, recboles in zip(names, *gradients, strict=True):
        # A key's bias moves all attention scores of a position alike, which the softmax does not see.
        assert parameter.endswith("key.bias") or recboles.abs().max() > 1e-6, parameter
        same(ours, recboles, parameter)


@NAMES
def test_training_computes_little_padding(build, monkeypatch, name):
    model, loaders = build(name)
    batch = first_batch(loaders[0])
    calls = recorded(monkeypatch, model, "calculate_loss")
    trimmed_loss(model, batch)
    field = "Mask_item_id_list" if name == "BERT4Rec" else "item_id_list"
    widths = [call[field].shape[1] for call in calls]
    assert widths == [int(call["item_length"].max()) for call in calls]
    assert len(widths) > 2 and max(widths) < batch[field].shape[1] == 20
    items = sum(int(call["item_length"].sum()) for call in calls)
    assert items >= (1 - MAX_PADDING) * sum(call[field].numel() for call in calls)
    if name != "BERT4Rec":
        assert items == batch["item_length"].sum()


def test_masked_items_are_trimmed_and_rows_without_one_left_out(build, monkeypatch):
    model, loaders = build("BERT4Rec", ft_ratio=0)
    batch = first_batch(loaders[0])
    calls = recorded(monkeypatch, model, "calculate_loss")
    trimmed_loss(model, batch)
    counts = (batch["MASK_INDEX"] > 0).sum(dim=1)
    assert 0 < sum(map(len, calls)) == (counts > 0).sum() < len(batch)
    for call in calls:
        most = int((call["MASK_INDEX"] > 0).sum(dim=1).max())
        assert {call[field].shape[1] for field in ("MASK_INDEX", "Pos_item_id", "Neg_item_id")} == {most}
    assert sum(call["MASK_INDEX"].numel() for call in calls) < batch["MASK_INDEX"].numel() / 2


def test_a_batch_that_predicts_nothing_is_recboles_own_nan(build):
    model, loaders = build("BERT4Rec", ft_ratio=0)
    batch = first_batch(loaders[0])
    empty = batch[torch.nonzero((batch["MASK_INDEX"] > 0).sum(dim=1) == 0).flatten()]
    assert len(empty) > 1
    assert model.calculate_loss(empty).isnan() and trimmed_loss(model, empty).isnan()


@NAMES
@LONGEST
@pytest.mark.parametrize("method", ["full_sort_predict", "predict"])
@torch.no_grad()
def test_scores_are_those_of_the_padded_batch(build, monkeypatch, name, longest, method):
    model, loaders = build(name, longest)
    batch = first_batch(loaders[2])
    padded = getattr(model, method)(batch)
    calls = recorded(monkeypatch, model, method)
    same(trimmed_scores(model, batch, getattr(model, method)), padded)
    widths = [call["item_id_list"].shape[1] for call in calls]
    assert widths == [int(call["item_length"].max()) for call in calls]
    assert (max(widths) == longest) if longest == 5 else (len(widths) > 1 and max(widths) < longest)


@torch.no_grad()
def test_all_items_are_scored_where_nothing_else_is_asked_for(build):
    model, loaders = build("SASRec")
    batch = first_batch(loaders[2])
    same(trimmed_scores(model, batch), model.full_sort_predict(batch))


def test_groups_hold_every_row_once():
    draw = np.random.default_rng(0)
    lengths = draw.geometric(0.2, 500).clip(max=50)
    rows = np.flatnonzero(draw.random(500) < 0.7)
    groups = similar_rows(lengths, rows)
    assert sorted(np.concatenate(groups)) == rows.tolist()
    assert [lengths[group].max() for group in groups] == bucket_edges(lengths[rows], MAX_PADDING).tolist()
    assert [len(group) for group in similar_rows(np.full(9, 50), np.arange(9))] == [9]


@NAMES
def test_recboles_three_models_are_trimmed(build, name):
    assert build(name)[0].trims_batches


def test_other_models_are_not(build):
    # Caser's layers are made for MAX_ITEM_LIST_LENGTH.
    assert not build("Caser", reg_weight=1e-4)[0].trims_batches
