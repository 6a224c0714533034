"""Vectors of items against their definitions, and what takes a gradient of them."""

import pytest
import torch
from support import built_run
from torch import nn

from recbole_mpo.data.catalogue import Catalogue
from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.model.item_encoder import (
    ItemEncoder,
    ItemTable,
    empty_rows,
    make_moe_adaptor,
    make_text_projection,
    take,
)

QUIET = {
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}
CONFIG = {
    "id_side": "both",
    "ITEM_ID_FIELD": "item_id",
    "hidden_size": 6,
    "n_exps": 2,
    "adaptor_dropout_prob": 0.0,
    "noisy_gating": False,
}
INPUTS = pytest.mark.parametrize("item_input", ["text", "text+id", "id"])


class SixItems(Catalogue):
    """PAD and six items of eight features; the last one has none, the second one lacks one."""

    def __init__(self):
        super().__init__(["[PAD]", *"abcdef"], 8, "hash")

    def item_features(self):
        features = torch.randn(7, 8, generator=torch.Generator().manual_seed(1))
        features[[0, 6]] = 0
        features[2, 3] = 0  # one feature that is zero is a text all the same
        return features


@pytest.fixture
def encoder():
    """Makes an encoder of six items, in evaluation mode, its whitening biases not zero."""

    def make(item_input, *arguments, **keywords):
        torch.manual_seed(0)
        items = ItemEncoder({**CONFIG, "item_input": item_input}, SixItems(), *arguments, **keywords)
        for module in items.modules.values():
            module.eval()
            for parameter in module.parameters():
                nn.init.normal_(parameter)
        return items

    return make


def every_vector(items):
    return items.vectors(slice(0, 7), items.merge())


@pytest.mark.parametrize(
    ("item_input", "names"),
    [
        ("text", ["item_table", "moe_adaptor"]),
        ("text+id", ["item_table", "moe_adaptor", "item_embedding"]),
        ("id", ["item_table", "item_embedding"]),
    ],
)
def test_modules_are_named_in_order(encoder, item_input, names):
    items = encoder(item_input)
    assert list(items.modules) == names
    assert items.uses_text == (item_input != "id") and items.feature_size == 8 * items.uses_text
    # Checkpoints leave the table out.
    assert items.table is items.modules["item_table"] and not items.table.state_dict()


@INPUTS
def test_vectors_are_of_text_and_ids_as_asked(encoder, item_input):
    items = encoder(item_input)
    expected = torch.zeros(7, 6)
    if item_input != "id":
        expected = expected + items.adaptor(items.table.features)
    if item_input != "text":
        expected = expected + items.modules["item_embedding"].weight
    if item_input == "text":
        expected[6] = 0
    torch.testing.assert_close(every_vector(items), expected)


@INPUTS
def test_rows_are_a_stretch_or_any_ids(encoder, item_input):
    items = encoder(item_input)
    vectors, merged = every_vector(items), items.merge()
    ids = torch.tensor([5, 0, 2, 2, 6])
    torch.testing.assert_close(items.vectors(ids, merged), vectors[ids])
    torch.testing.assert_close(items.vectors(slice(0, 3), merged), vectors[:3])
    torch.testing.assert_close(items.vectors(slice(2, 7), merged), vectors[2:])


@INPUTS
@pytest.mark.parametrize("teaches_all", [False, True])
def test_pad_teaches_where_everything_does(encoder, item_input, teaches_all):
    """And so do items without text; their vectors are the same but for those of text alone."""
    items = encoder(item_input, teaches_all=teaches_all)
    trained = [parameter for module in items.modules.values() for parameter in module.parameters()]

    def teaches(row):
        vector = items.vectors(torch.tensor([row]), items.merge()).sum()
        gradients = torch.autograd.grad(vector, trained, allow_unused=True) if vector.requires_grad else []
        return any(gradient is not None and gradient.any() for gradient in gradients)

    assert teaches(3)
    # An embedding's padding_idx holds PAD's gradient back only inside nn.Embedding; here rows are taken.
    assert teaches(0) == teaches_all
    assert teaches(6) == (teaches_all or item_input != "text")
    assert bool(every_vector(items)[6].any()) == (teaches_all or item_input != "text")


def test_pads_value_stays_what_the_modules_give(encoder):
    items, taught = encoder("text"), encoder("text", teaches_all=True)
    assert torch.equal(every_vector(items)[0], every_vector(taught)[0]) and every_vector(items)[0].any()


def test_an_adaptor_is_made_from_settings_and_features_and_has_the_models_name(encoder):
    asked = []

    def make(config, feature_size):
        asked.append((config["hidden_size"], feature_size))
        return make_text_projection(config, feature_size)

    items = encoder("text", "text_projection", make)
    assert asked == [(6, 8)] and list(items.modules) == ["item_table", "text_projection"]
    projection = items.modules["text_projection"]
    assert type(projection) is torch.nn.Linear
    expected = items.table.features @ projection.weight.t() + projection.bias
    torch.testing.assert_close(every_vector(items)[:6], expected[:6])


def test_adaptors_have_the_sizes_of_the_settings():
    moe = make_moe_adaptor(CONFIG, 8)
    assert isinstance(moe, MoEAdaptor) and len(moe.experts) == 2 and not moe.noisy
    assert moe.experts[0].lin.weight.shape == make_text_projection(CONFIG, 8).weight.shape == (6, 8)


def test_vectors_of_text_are_those_of_items_with_the_same_text(encoder):
    items = encoder("text")
    features = items.table.features[1:6]
    torch.testing.assert_close(items.vectors_of_text(features), every_vector(items)[1:6])
    torch.testing.assert_close(items.vectors_of_text(features, items.merge()), every_vector(items)[1:6])


def test_what_is_empty_follows_from_features_or_is_pad(encoder):
    assert encoder("text").table.is_empty.nonzero().flatten().tolist() == [0, 6]
    for item_input in ("text+id", "id"):
        assert encoder(item_input).table.is_empty.nonzero().flatten().tolist() == [0]
    assert ItemTable(None, torch.tensor([True])).features is None


def test_a_stretch_of_a_table_is_a_view_and_ids_are_gathered():
    table = torch.arange(12.0).view(4, 3).requires_grad_()
    assert take(table, slice(1, 3)).data_ptr() == table[1:].data_ptr()
    ids = torch.tensor([3, 1, 3])
    assert torch.equal(take(table, ids), table[ids])
    # index_select adds up in one order whatever the threads; the backward of an index does not.
    assert "IndexSelect" in type(take(table, ids).grad_fn).__name__


def test_items_without_text_score_zero_and_take_no_gradient(tiny_settings, tiny_path):
    text = tiny_path / "tiny" / "tiny.text"
    lines = text.read_text().splitlines()
    text.write_text("\n".join([*lines[:-3], *(f"{line.split(chr(9))[0]}\t." for line in lines[-3:])]) + "\n")
    experiment = built_run("UniSRec", "tiny", (), {**tiny_settings, **QUIET})
    model = experiment.model
    assert model.item_table.is_empty.sum() == 1 + 3
    for expert in model.moe_adaptor.experts:
        torch.nn.init.normal_(expert.bias, std=1e-3)
    vectors = model.encode_items()
    assert not vectors[1:][model.item_table.is_empty[1:]].any() and vectors[0].any()
    weights = torch.randn_like(vectors)
    for blank in (True, False):
        rows = model.item_table.is_empty == blank
        (gradient,) = torch.autograd.grad(
            (vectors * weights)[rows].sum(), model.moe_adaptor.w_gate, retain_graph=True, allow_unused=True
        )
        assert bool(gradient.any()) != blank


def test_empty_rows_are_found_block_by_block(monkeypatch):
    monkeypatch.setattr("recbole_mpo.model.item_encoder.ROWS_AT_A_TIME", 3)
    features = SixItems().item_features()
    assert empty_rows(features).tolist() == (~features.any(dim=1)).tolist() == [True, *[False] * 5, True]


@pytest.mark.parametrize("rows", [slice(1, 4), torch.tensor([3, 1])])
def test_features_in_half_precision_are_read_in_single(rows):
    features = SixItems().item_features()
    table = ItemTable(features.half(), empty_rows(features))
    found = table.features_of(rows)
    assert found.dtype == torch.float32 and torch.equal(found, features.half().float()[rows])
    assert torch.equal(ItemTable(features, empty_rows(features)).features_of(rows), features[rows])
