"""The encoder equals RecBole's TransformerEncoder wherever a real item stands."""

import pytest
import torch
from recbole.model.layers import TransformerEncoder

from recbole_mpo.layers.encoder import CausalTransformerEncoder

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
    ours, theirs = CausalTransformerEncoder(**SETTINGS).eval(), TransformerEncoder(**SETTINGS).eval()
    random_weights(ours)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def recbole_mask(lengths, width):
    real = torch.arange(width) < lengths[:, None]
    mask = torch.tril(real[:, None, None, :].expand(-1, -1, width, -1))
    return torch.where(mask, 0.0, -10000.0)


@pytest.mark.parametrize("activation", ["gelu", "relu", "swish"])
def test_equals_recbole_at_real_positions(activation):
    settings = {**SETTINGS, "hidden_act": activation}
    torch.manual_seed(6)
    ours, theirs = CausalTransformerEncoder(**settings).eval(), TransformerEncoder(**settings).eval()
    random_weights(ours)
    theirs.load_state_dict(ours.state_dict())
    states = torch.randn(4, 10, 16)
    expected = theirs(states, recbole_mask(LENGTHS, 10), output_all_encoded_layers=True)[-1]
    found = ours(states.flatten(0, 1), [(4, 10)]).view(4, 10, 16)
    real = torch.arange(10) < LENGTHS[:, None]
    assert (found - expected)[real].abs().max() < 1e-5


def test_blocks_equal_single_sequences(pair):
    ours, _ = pair
    first, second = torch.randn(3, 4, 16), torch.randn(2, 9, 16)
    together = ours(torch.cat([first.flatten(0, 1), second.flatten(0, 1)]), [(3, 4), (2, 9)])
    apart = [ours(row, [(1, len(row))]) for row in [*first, *second]]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-5, atol=1e-5)


def test_later_positions_are_not_seen(pair):
    ours, _ = pair
    states = torch.randn(2, 6, 16)
    changed = states.clone()
    changed[:, 4:] = 7.0
    before, after = (ours(x.flatten(0, 1), [(2, 6)]).view(2, 6, 16)[:, :4] for x in (states, changed))
    assert torch.equal(before, after)


def test_dropout_acts_only_in_training(pair):
    ours, _ = pair
    states = torch.randn(6, 16)
    assert torch.equal(ours(states, [(1, 6)]), ours(states, [(1, 6)]))
    ours.train()
    assert not torch.equal(ours(states, [(1, 6)]), ours(states, [(1, 6)]))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="hidden_size 15 is not a multiple of n_heads 2"):
        CausalTransformerEncoder(**{**SETTINGS, "hidden_size": 15})
    with pytest.raises(ValueError, match="hidden_act is 'gleu'; choose one of gelu"):
        CausalTransformerEncoder(**{**SETTINGS, "hidden_act": "gleu"})
