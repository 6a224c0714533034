"""The text models' contract, and packed training against RecBole's padded rows."""

import numpy as np
import pytest
import torch
from support import built_run

from recbole_mpo.data.batches import pack
from recbole_mpo.data.sequences import Rows, training_windows

QUIET = {
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}
ALL_MODELS = ["UniSRec", "MPORec", "MPORecLight", "MPORecExpand"]


def test_parameter_names_are_unisrecs(tiny_settings):
    settings = {**tiny_settings, "item_input": "text+id", "id_side": "both"}
    names = set(built_run("UniSRec", "tiny", (), settings).model.state_dict())
    heads = {name.split(".")[0] for name in names}
    assert heads == {"position_embedding", "trm_encoder", "LayerNorm", "moe_adaptor", "item_embedding"}
    assert "trm_encoder.layer.1.multi_head_attention.query.weight" in names
    assert "moe_adaptor.experts.1.lin.weight" in names


@pytest.mark.parametrize(
    ("name", "changes", "width"),
    [(name, {"item_input": "text"}, 16) for name in ALL_MODELS]
    + [(name, {"item_input": "text+id", "id_side": "both"}, 16) for name in ALL_MODELS]
    + [(name, {"item_input": "text+id", "id_size": 3}, 20) for name in ALL_MODELS]
    + [("UniSRec", {"item_input": "id"}, 16)],
)
def test_contract(tiny_settings, name, changes, width):
    experiment = built_run(name, "tiny", (), {**tiny_settings, **changes})
    model = experiment.model.eval()
    rows = next(iter(experiment.loaders[1]))[0]
    vectors = model.encode_items()
    assert vectors.shape == (experiment.dataset.item_num, width)
    ids = torch.tensor([3, 0, 5])
    torch.testing.assert_close(model.encode_items(ids), vectors[ids])
    scores = model.full_sort_predict(rows)
    assert scores.shape == (len(rows), experiment.dataset.item_num)
    picked = scores.gather(1, rows["item_id"][:, None])[:, 0]
    torch.testing.assert_close(model.predict(rows), picked)
    last = model.encode_sequences(vectors, rows["item_id_list"], rows["item_length"])
    every = model.encode_sequences(vectors, rows["item_id_list"], rows["item_length"], every_position=True)
    torch.testing.assert_close(every[torch.arange(len(rows)), rows["item_length"] - 1], last)


def test_items_are_encoded_a_chunk_at_a_time_where_no_gradient_is_needed(tiny_settings, monkeypatch):
    model = built_run("UniSRec", "tiny", (), {**tiny_settings, "item_chunk": 9}).model.eval()
    encode, sizes = model._encode_rows, []

    def counted(rows, merged):
        vectors = encode(rows, merged)
        sizes.append(len(vectors))
        return vectors

    monkeypatch.setattr(model, "_encode_rows", counted)
    whole = model.encode_items()
    assert sizes == [31] == [model.n_items]
    with torch.no_grad():
        torch.testing.assert_close(model.encode_items(), whole)
        assert sizes[1:] == [8, 8, 8, 7]  # and not 9, 9, 9, 4
        torch.testing.assert_close(model.encode_items(torch.arange(9)), whole[:9])
    assert sizes[5:] == [9]


@pytest.mark.parametrize("length", [3, 12])
@pytest.mark.parametrize("name", ["UniSRec", "MPORec", "SASRecCE"])
def test_the_last_state_is_computed_alone(tiny_settings, name, length):
    """It is that of all positions, and the last layer's feed-forward sees no other place."""
    model = built_run(name, "tiny", (), tiny_settings).model.double().eval()
    generator = torch.Generator().manual_seed(0)
    items = torch.randint(1, model.n_items, (9, length), generator=generator)
    lengths = torch.randint(1, length + 1, (9,), generator=generator)
    items = items * (torch.arange(length) < lengths.unsqueeze(1))
    vectors = model.encode_items()
    every = model.encode_sequences(vectors, items, lengths, every_position=True)
    assert every.shape == (9, length, 16)
    rows = []
    last_layer = model.trm_encoder.layer[-1].feed_forward
    handle = last_layer.register_forward_hook(lambda _, inputs, __: rows.append(tuple(inputs[0].shape)))
    last = model.encode_sequences(vectors, items, lengths)
    handle.remove()
    assert rows == [(9, 16)]
    torch.testing.assert_close(last, every[torch.arange(9), lengths - 1], rtol=1e-9, atol=1e-9)


def batches(experiment, limit=400):
    """The same training rows packed and as RecBole's padded rows; histories of at most L + 1 items."""
    train, length = experiment.splits[0], experiment.config["MAX_ITEM_LIST_LENGTH"]
    rows = train.rows()
    cut_users = np.unique(rows.users[rows.lengths >= length])
    index = np.flatnonzero(~np.isin(rows.users, cut_users) & (rows.users <= limit))
    windows = training_windows(Rows(rows.users[index], rows.ends[index], rows.lengths[index]), length)
    return pack(train.flat_items, windows), train[index]


def loss_and_gradients(model, batch):
    model.zero_grad()
    loss = model.calculate_loss(batch)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_packed_equals_pairwise(experiment, dtype, tolerance):
    model = experiment.model.to(dtype).train()
    packed, pairwise = batches(experiment)
    assert sorted(packed.targets.tolist()) == sorted(pairwise["item_id"].tolist())
    packed_loss, packed_gradients = loss_and_gradients(model, packed)
    loss, gradients = loss_and_gradients(model, pairwise)
    assert abs(packed_loss - loss) <= tolerance * loss
    assert gradients.keys() == packed_gradients.keys()
    assert gradients.keys() == {name for name, p in model.named_parameters() if p.requires_grad} - unused(model)
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        # The softmax of attention ignores key biases: their gradient is rounding around zero.
        scale = largest if name.endswith("key.bias") else gradient.abs().max()
        assert (packed_gradients[name] - gradient).abs().max() <= tolerance * scale, name


def unused(model):
    return {name for name, _ in model.named_parameters() if name.endswith("w_noise")}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", ALL_MODELS)
def test_packed_equals_pairwise(tiny_settings, name, dtype, tolerance):
    assert_packed_equals_pairwise(built_run(name, "tiny", (), {**tiny_settings, **QUIET}), dtype, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["UniSRec", "MPORec"])
def test_packed_equals_pairwise_on_scientific(shared_data, tmp_path, name):
    settings = {"data_path": str(shared_data), "cache_dir": str(tmp_path), "text_encoder": "tfidf-svd", **QUIET}
    assert_packed_equals_pairwise(built_run(name, "Scientific", (), settings), torch.float64, 1e-9)


def test_pad_takes_no_gradient_but_stays_in_the_softmax(tiny_settings):
    experiment = built_run("UniSRec", "tiny", (), {**tiny_settings, **QUIET})
    model = experiment.model
    packed, _ = batches(experiment)
    loss, gradients = loss_and_gradients(model, packed)
    # At zero biases PAD's vector has norm zero, where a cosine's gradient is of the order of 1e12.
    assert max(gradient.abs().max() for gradient in gradients.values()) < 100
    model.objective.mask_pad = True
    assert model.calculate_loss(packed) < loss


def test_pad_takes_no_gradient_where_its_vector_is_not_zero(tiny_settings):
    """The gradient is that of a softmax in which PAD's vector is a constant."""
    experiment = built_run("UniSRec", "tiny", (), {**tiny_settings, **QUIET})
    model = experiment.model.double()
    for expert in model.moe_adaptor.experts:
        torch.nn.init.normal_(expert.bias, std=0.3)
    packed, _ = batches(experiment)
    loss, gradients = loss_and_gradients(model, packed)
    vectors = model.encode_items()
    assert vectors[0].abs().max() > 1e-3
    for with_pad in (False, True):
        model.zero_grad(set_to_none=True)
        items = model.encode_items()
        of_text = model.moe_adaptor(model.item_table.features)
        items = torch.cat([of_text[:1] if with_pad else of_text[:1].detach(), items[1:]])
        states = model.predicting_states(items, packed.items, packed)
        expected = torch.nn.functional.cross_entropy(model.score(states, items), packed.targets)
        expected.backward()
        torch.testing.assert_close(expected.detach(), loss, rtol=1e-6, atol=1e-6)
        found = model.moe_adaptor.experts[0].bias.grad
        assert torch.allclose(found, gradients["moe_adaptor.experts.0.bias"], rtol=1e-6, atol=1e-9) != with_pad


@pytest.mark.parametrize("train_mode", ["packed", "pairwise"])
def test_evaluation_without_padding_equals_padded_rows(tiny_settings, train_mode):
    experiment = built_run("MPORec", "tiny", (), {**tiny_settings, "train_mode": train_mode})
    model = experiment.model.double().eval()
    rows = next(iter(experiment.loaders[2]))[0]
    item_seq, lengths = rows[model.ITEM_SEQ], rows[model.ITEM_SEQ_LEN]
    assert lengths.min() < lengths.max()
    with torch.no_grad():
        vectors = model.encode_items()
        expected = model.encode_sequences(vectors, item_seq, lengths)
        torch.testing.assert_close(model.encode_histories(vectors, rows), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("item_input", "changes", "scores_text_alone"),
    [("text", {}, True), ("text+id", {}, True), ("text+id", {"id_side": "both"}, False), ("id", {}, False)],
)
def test_what_a_text_model_says_of_its_items(tiny_settings, item_input, changes, scores_text_alone):
    run = built_run("UniSRec", "tiny", (), {**tiny_settings, "item_input": item_input, **changes})
    model = run.model
    assert (model.uses_text, model.scores_text_alone) == (item_input != "id", scores_text_alone)
    assert model.feature_hash == (run.dataset.feature_hash if model.uses_text else None)
    assert model.feature_size == (run.dataset.features.table.shape[1] if model.uses_text else 0)


def test_text_alone_has_the_vectors_of_items_with_that_text(tiny_settings):
    model = built_run("UniSRec", "tiny", (), tiny_settings).model.eval()
    features = model.item_table.features[1:]
    torch.testing.assert_close(model.encode_features(features), model.encode_items()[1:])
