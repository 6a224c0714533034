"""The encoder equals RecBole's TransformerEncoder wherever a real item stands."""

import pytest
import torch
from recbole.model.layers import TransformerEncoder

from recbole_mpo.layers.mpo import convert_to_mpo
from recbole_mpo.layers.transformer import CausalTransformerEncoder

SETTINGS = {
    "n_layers": 2,
    "n_heads": 2,
    "hidden_size": 16,
    "inner_size": 24,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
LENGTHS = torch.tensor([1, 7, 3, 10])


def random_weights(module):
    for name, parameter in module.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("LayerNorm.weight" in name), std=0.3)


@pytest.fixture
def pair():
    torch.manual_seed(5)
    encoder, reference = CausalTransformerEncoder(**SETTINGS).eval(), TransformerEncoder(**SETTINGS).eval()
    random_weights(encoder)
    reference.load_state_dict(encoder.state_dict())
    return encoder, reference


def recbole_mask(lengths, width):
    real = torch.arange(width) < lengths[:, None]
    mask = torch.tril(real[:, None, None, :].expand(-1, -1, width, -1))
    return torch.where(mask, 0.0, -10000.0)


@pytest.mark.parametrize("activation", ["gelu", "relu", "swish"])
def test_equals_recbole_at_real_positions(activation):
    settings = {**SETTINGS, "hidden_act": activation}
    torch.manual_seed(6)
    encoder, reference = CausalTransformerEncoder(**settings).eval(), TransformerEncoder(**settings).eval()
    random_weights(encoder)
    reference.load_state_dict(encoder.state_dict())
    states = torch.randn(4, 10, 16)
    expected = reference(states, recbole_mask(LENGTHS, 10), output_all_encoded_layers=True)[-1]
    result = encoder(states)
    real = torch.arange(10) < LENGTHS[:, None]
    assert (result - expected)[real].abs().max() < 1e-5


def packed_starts(*rows):
    """For rows of sequence lengths, the column at which each position's sequence starts [R, L]."""
    return torch.tensor([[start for length, start in row for _ in range(length)] for row in rows])


def test_packed_sequences_equal_single_ones(pair):
    encoder, _ = pair
    lengths = [4, 5, 1, 7, 2]
    sequences = [torch.randn(length, 16) for length in lengths]
    rows = torch.stack([torch.cat(sequences[:3]), torch.cat([*sequences[3:], torch.randn(1, 16)])])
    starts = packed_starts([(4, 0), (5, 4), (1, 9)], [(7, 0), (2, 7), (1, 9)])
    together = encoder(rows, starts).flatten(0, 1)[: sum(lengths)]
    apart = torch.cat([encoder(sequence.unsqueeze(0)).squeeze(0) for sequence in sequences])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wanted", [[7, 1, 5, 11], [3], [], [11, 0, 1, 2, 8, 7, 5]], ids=["few", "one", "none", "most"])
@pytest.mark.parametrize("packed", [True, False])
def test_wanted_positions_equal_all(pair, wanted, packed):
    """States and gradients, whether keys and values are computed for all positions (most) or for none (few)."""
    encoder = pair[0].double()
    states = torch.randn(2, 6, 16, dtype=torch.float64, requires_grad=True)
    starts, wanted = packed_starts([(2, 0), (4, 2)], [(6, 0)]) if packed else None, torch.tensor(wanted).long()
    expected, result = encoder(states, starts).flatten(0, 1)[wanted], encoder(states, starts, wanted)
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)
    wished = torch.randn_like(result)
    inputs = [states, *encoder.parameters()]
    gradients = [torch.autograd.grad((x * wished).sum(), inputs, materialize_grads=True) for x in (result, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_training_path_equals_the_fused_one(pair):
    """A rate below the masks' resolution takes the path of attention with dropout and drops nothing."""
    encoder, _ = pair
    states, starts = torch.randn(2, 6, 16), packed_starts([(2, 0), (4, 2)], [(6, 0)])
    expected = encoder(states), encoder(states, starts)
    for layer in encoder.layer:
        layer.multi_head_attention.attention_dropout = 1e-9
        layer.multi_head_attention.train()
        layer.multi_head_attention.out_dropout.p = 0.0
    result = encoder(states), encoder(states, starts)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_attention_weights_are_dropped_and_rescaled(pair):
    encoder, _ = pair
    attention = encoder.layer[0].multi_head_attention.train()
    query, key, value = torch.randn(3, 400, 2, 5, 8)
    full = attention._attend(query, key, value, None)
    torch.manual_seed(0)
    mean = torch.stack([attention._attend(query, key, value, None) for _ in range(400)]).mean(0)
    attention.eval()
    expected = attention._attend(query, key, value, None)
    assert (full - expected).abs().max() > 0.5
    assert (mean - expected).abs().mean() < 0.05
    # The first position sees itself alone: half of the time nothing is left of it.
    first = full[:, :, 0]
    dropped = (first == 0).all(-1)
    assert 0.4 < dropped.double().mean() < 0.6
    torch.testing.assert_close(first[~dropped], 2 * value[:, :, 0][~dropped])


def test_later_positions_are_not_seen(pair):
    encoder, _ = pair
    states = torch.randn(2, 6, 16)
    changed = states.clone()
    changed[:, 4:] = 7.0
    assert torch.equal(encoder(states)[:, :4], encoder(changed)[:, :4])


def test_dropout_acts_only_in_training(pair):
    encoder, _ = pair
    states = torch.randn(1, 6, 16)
    assert torch.equal(encoder(states), encoder(states))
    encoder.train()
    assert not torch.equal(encoder(states), encoder(states))


def test_factorised_projections_are_merged_and_equal(pair):
    encoder, _ = pair
    states = torch.randn(2, 6, 16)
    expected = encoder(states)
    convert_to_mpo(encoder, "all-linear", num_cores=3)
    torch.testing.assert_close(encoder(states), expected, rtol=1e-4, atol=1e-4)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="hidden_size 15 is not a multiple of n_heads 2"):
        CausalTransformerEncoder(**{**SETTINGS, "hidden_size": 15})
    with pytest.raises(ValueError, match="hidden_act is 'gleu'; choose one of gelu"):
        CausalTransformerEncoder(**{**SETTINGS, "hidden_act": "gleu"})


def test_attention_dropout_is_kept_where_few_positions_are_computed():
    """Without it they are computed without keys and values, which has no place for it."""
    torch.manual_seed(5)
    encoder = CausalTransformerEncoder(**{**SETTINGS, "n_layers": 1, "hidden_dropout_prob": 0.0}).train()
    random_weights(encoder)
    states, places = torch.randn(4, 10, 16), torch.tensor([9, 25])
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(encoder(states, None, places))
    torch.manual_seed(1)
    torch.testing.assert_close(drawn[0], encoder(states).flatten(0, 1)[places])
    assert torch.equal(drawn[0], drawn[1]) and not torch.allclose(drawn[0], drawn[2], atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rows", [0, 2])
def test_no_wanted_positions_are_no_states_and_no_gradient(rows, training):
    """A process may have no part of a batch, not even a row."""
    encoder = CausalTransformerEncoder(**SETTINGS).train(training)
    states = torch.randn(rows, 3, 16, requires_grad=True)
    starts = torch.zeros(rows, 3, dtype=torch.long)
    found = encoder(states, starts, torch.empty(0, dtype=torch.long))
    found.sum().backward()
    assert found.shape == (0, 16) and not states.grad.any()
