"""States of histories: what each may see, in rows of one history and of several."""

import pytest
import torch
import torch.nn.functional as F

from recbole_mpo.model.sequence_encoder import TransformerSequenceEncoder

CONFIG = {
    "hidden_size": 8,
    "inner_size": 12,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dropout_prob": 0.3,
    "attn_dropout_prob": 0.3,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "MAX_ITEM_LIST_LENGTH": 10,
}
EXACT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture
def encoder():
    """In double precision, without dropout, its weights large enough to matter."""
    torch.manual_seed(0)
    sequence = TransformerSequenceEncoder(CONFIG)
    for module in sequence.modules.values():
        module.double().eval()
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return sequence


@pytest.fixture
def vectors():
    """Vectors [20, 8] of items."""
    return torch.randn(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def plain_states(encoder, vectors, items):
    """States [R, L, D] of rows that are one history each."""
    items = torch.tensor(items)
    return encoder.states(vectors, items, torch.arange(items.shape[1]).expand(items.shape))


def test_modules_have_unisrecs_names(encoder):
    assert list(encoder.modules) == ["position_embedding", "LayerNorm", "dropout", "trm_encoder"]
    assert encoder.modules["position_embedding"].weight.shape == (10, 8)
    assert len(encoder.modules["trm_encoder"].layer) == 2 and encoder.modules["dropout"].p == 0.3


def test_inputs_are_normalised_sums_of_items_and_positions(encoder, vectors):
    items = torch.tensor([[3, 5, 7]])
    sums = vectors[items] + encoder.modules["position_embedding"].weight[:3]
    inputs = F.layer_norm(sums, (8,), *encoder.modules["LayerNorm"].parameters(), eps=1e-12)
    expected = encoder.modules["trm_encoder"](inputs)
    torch.testing.assert_close(plain_states(encoder, vectors, [[3, 5, 7]]), expected, **EXACT)


def test_wanted_places_alone_are_those_of_all(encoder, vectors):
    items = torch.randint(1, 20, (4, 6), generator=torch.Generator().manual_seed(3))
    positions = torch.arange(6).expand(4, 6)
    every = encoder.states(vectors, items, positions)
    assert every.shape == (4, 6, 8)
    for wanted in ([23], [0, 5, 11, 17], [17, 3, 3], list(range(24))):
        wanted = torch.tensor(wanted)
        states = encoder.states(vectors, items, positions, None, wanted)
        torch.testing.assert_close(states, every.flatten(0, 1)[wanted], **EXACT)


def test_the_last_layer_computes_the_wanted_places_alone(encoder, vectors):
    places = []
    for layer in encoder.modules["trm_encoder"].layer:
        layer.feed_forward.register_forward_hook(lambda _, inputs, __: places.append(inputs[0].numel() // 8))
    items = torch.randint(1, 20, (4, 6))
    encoder.states(vectors, items, torch.arange(6).expand(4, 6), None, torch.tensor([5, 11, 17, 23]))
    assert places == [4 * 6, 4]


def test_no_state_sees_a_later_item_and_all_see_the_earlier_ones(encoder, vectors):
    before, after = (plain_states(encoder, vectors, [[4, 5, item, 7]])[0] for item in (6, 9))
    torch.testing.assert_close(before[:2], after[:2], **EXACT)
    assert (before[2:] - after[2:]).abs().amax(dim=1).min() > 1e-6


def test_padding_behind_a_history_does_not_count(encoder, vectors):
    short, wide = plain_states(encoder, vectors, [[4, 5]]), plain_states(encoder, vectors, [[4, 5, 0, 0]])
    torch.testing.assert_close(wide[:, :2], short, **EXACT)


def test_histories_packed_into_a_row_do_not_see_each_other(encoder, vectors):
    items, positions = torch.tensor([[4, 5, 6, 9, 8]]), torch.tensor([[0, 1, 2, 0, 1]])
    starts = torch.arange(5) - positions
    packed = encoder.states(vectors, items, positions, starts)[0]
    first, second = plain_states(encoder, vectors, [[4, 5, 6]])[0], plain_states(encoder, vectors, [[9, 8]])[0]
    torch.testing.assert_close(packed, torch.cat([first, second]), **EXACT)
    wanted = encoder.states(vectors, items, positions, starts, torch.tensor([2, 4]))
    torch.testing.assert_close(wanted, torch.stack([first[-1], second[-1]]), **EXACT)


class TestFromBothSides:
    def states(self, encoder, vectors, items):
        items = torch.tensor(items)
        return encoder.states_from_both_sides(vectors[items], items == 0)

    def test_every_state_sees_later_items(self, encoder, vectors):
        before, after = (self.states(encoder, vectors, [[4, 5, item]]) for item in (6, 9))
        assert (before - after).abs().amax(dim=2).min() > 1e-6

    def test_padding_does_not_count(self, encoder, vectors):
        short, wide = (self.states(encoder, vectors, [[4, 5, 6, *padding]]) for padding in ([], [0, 0]))
        torch.testing.assert_close(wide[:, :3], short, **EXACT)

    def test_a_history_of_one_item_has_its_causal_state(self, encoder, vectors):
        causal = plain_states(encoder, vectors, [[7]])
        torch.testing.assert_close(self.states(encoder, vectors, [[7, 0]])[:, :1], causal, **EXACT)


def test_dropout_is_drawn_while_training(encoder, vectors):
    for module in encoder.modules.values():
        module.train()
    first, second = (plain_states(encoder, vectors, [[4, 5, 6]]) for _ in range(2))
    assert not torch.equal(first, second)
