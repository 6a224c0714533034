"""Convolutions over packed rows: equal to ``nn.Conv1d``, to a token really appended, and to RecBole's blocks."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recbole_mpo.common.recbole_globals import sequential_models
from recbole_mpo.layers.convolution import DilatedConvolutions, Neighbours, Patch, Predecessors, SequenceConvolution

LENGTHS = [5, 1, 9, 2, 7, 3]
DILATIONS = [1, 4, 1, 4]
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def alone(length):
    return torch.arange(length).unsqueeze(0)


@pytest.fixture
def packed():
    """Six sequences in rows of 14 places; positions [2, 14] and the place at which each sequence begins."""
    torch.manual_seed(0)
    rows = [[5, 9], [1, 2, 7, 3]]
    positions = torch.zeros(2, 14, dtype=torch.long)
    begins = {}
    for row, lengths in enumerate(rows):
        column = 0
        for length in lengths:
            positions[row, column : column + length] = torch.arange(length)
            begins[length] = row * 14 + column
            column += length
    return positions, [begins[length] for length in LENGTHS]


@pytest.fixture
def network():
    torch.manual_seed(1)
    network = DilatedConvolutions(6, 3, DILATIONS).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network


def make_patches(form, zero):
    torch.manual_seed(2)
    patches = nn.ModuleList(nn.ModuleList(Patch(6, 2, form) for _ in range(2)) for _ in DILATIONS).double()
    for patch in (patch for pair in patches for patch in pair):
        nn.init.zeros_(patch.up.weight) if zero else nn.init.normal_(patch.up.weight)
        nn.init.zeros_(patch.up.bias) if zero else nn.init.normal_(patch.up.bias)
    return patches


@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
@pytest.mark.parametrize("kernel_size", [2, 3, 5])
def test_a_convolution_is_conv1d_of_each_sequence_padded_on_the_left(packed, kernel_size, dilation):
    positions, begins = packed
    convolution = SequenceConvolution(6, kernel_size, dilation).double()
    nn.init.normal_(convolution.bias)
    reference = nn.Conv1d(6, 6, kernel_size, dilation=dilation).double()
    reference.load_state_dict(convolution.state_dict())
    x = torch.randn(28, 6, dtype=torch.float64)
    result = convolution(x, Predecessors(positions))
    for begin, length in zip(begins, LENGTHS, strict=True):
        padded = F.pad(x[begin : begin + length].t(), ((kernel_size - 1) * dilation, 0))
        expected = reference(padded.unsqueeze(0))[0].t()
        torch.testing.assert_close(result[begin : begin + length], expected, **EXACT)


class TestBothSides:
    @pytest.fixture
    def begins(self):
        """Where six sequences of these lengths begin, one after another."""
        return [sum(LENGTHS[:number]) for number in range(len(LENGTHS))]

    @pytest.mark.parametrize("dilation", [1, 2, 4, 8])
    @pytest.mark.parametrize("kernel_size", [3, 5])
    def test_a_convolution_is_conv1d_of_each_sequence_padded_alike(self, begins, kernel_size, dilation):
        convolution = SequenceConvolution(6, kernel_size, dilation).double()
        nn.init.normal_(convolution.bias)
        reference = nn.Conv1d(6, 6, kernel_size, dilation=dilation, padding="same").double()
        reference.load_state_dict(convolution.state_dict())
        x = torch.randn(27, 6, dtype=torch.float64)
        result = convolution(x, Neighbours(torch.tensor(LENGTHS)))
        for begin, length in zip(begins, LENGTHS, strict=True):
            expected = reference(x[begin : begin + length].t().unsqueeze(0))[0].t()
            torch.testing.assert_close(result[begin : begin + length], expected, **EXACT)

    def test_a_state_sees_all_of_its_sequence_and_no_other(self, network):
        x, places = torch.randn(27, 6, dtype=torch.float64), Neighbours(torch.tensor(LENGTHS))
        before = network(x, places)
        x[10] += 1.0
        changed = (network(x, places) != before).any(dim=1)
        assert changed.tolist() == [6 <= place < 15 for place in range(27)]

    def test_an_even_number_of_taps_has_no_middle(self):
        with pytest.raises(ValueError, match="an odd number of taps, not 4"):
            Neighbours(torch.tensor([3])).own_tap(4)


@pytest.mark.parametrize("form", [None, "serial", "parallel"])
def test_tokens_equal_one_appended_to_each_prefix(packed, network, form):
    """States and gradients, of all prefixes at once."""
    positions, begins = packed
    patches = None if form is None else make_patches(form, zero=False)
    x = torch.randn(28, 6, dtype=torch.float64, requires_grad=True)
    token = torch.randn(6, dtype=torch.float64, requires_grad=True)
    learned = [x, token, *network.parameters(), *(patches.parameters() if patches else ())]
    ends = torch.tensor([begin + p for begin, n in zip(begins, LENGTHS, strict=True) for p in range(n)])
    inputs = torch.cat([x, token.expand(len(ends), -1)])
    together = network(inputs, Predecessors(positions, ends), patches)[28:]
    one_by_one = torch.stack([
        network(torch.cat([x[begin : begin + p + 1], token[None]]), Predecessors(alone(p + 2)), patches)[-1]
        for begin, n in zip(begins, LENGTHS, strict=True) for p in range(n)
    ])  # fmt: skip
    torch.testing.assert_close(together, one_by_one, **EXACT)
    weights = torch.randn_like(together)
    for got, wanted in zip(
        torch.autograd.grad((together * weights).sum(), learned),
        torch.autograd.grad((one_by_one * weights).sum(), learned),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9 * max(1.0, wanted.abs().max().item()))


def test_tokens_change_no_item_and_each_other_neither(packed, network):
    positions, begins = packed
    x, ends = torch.randn(28, 6, dtype=torch.float64), torch.tensor([begins[0] + 4, begins[2] + 3])
    tokens = torch.randn(2, 6, dtype=torch.float64)
    states = network(torch.cat([x, tokens]), Predecessors(positions, ends))
    torch.testing.assert_close(states[:28], network(x, Predecessors(positions)), **EXACT)
    tokens[1] += 1.0
    changed = network(torch.cat([x, tokens]), Predecessors(positions, ends))
    assert torch.equal(changed[:29], states[:29]) and not torch.equal(changed[29], states[29])


def test_no_state_sees_what_comes_later(network):
    x = torch.randn(20, 6, dtype=torch.float64)
    before = network(x, Predecessors(alone(20)))
    x[11] += 1.0
    after = network(x, Predecessors(alone(20)))
    assert torch.equal(before[:11], after[:11])
    assert (before[11:] != after[11:]).any(dim=1).all()


def test_a_network_is_recboles_blocks(network):
    block = sys.modules[sequential_models().NextItNet.__module__].ResidualBlock_b
    blocks = nn.Sequential(*(block(6, 6, 3, dilation) for dilation in DILATIONS)).double()
    weights = network.blocks.state_dict()
    blocks.load_state_dict({
        name: value.unsqueeze(2) if name.split(".")[1].startswith("conv") and value.dim() == 3 else value
        for name, value in weights.items()
    })  # fmt: skip
    x = torch.randn(20, 6, dtype=torch.float64)
    torch.testing.assert_close(network(x, Predecessors(alone(20))), blocks(x.unsqueeze(0))[0], **EXACT)


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_zero_patches_change_nothing_and_others_do(network, form):
    x = torch.randn(12, 6, dtype=torch.float64)
    plain = network(x, Predecessors(alone(12)))
    assert torch.equal(network(x, Predecessors(alone(12)), make_patches(form, zero=True)), plain)
    assert not torch.allclose(network(x, Predecessors(alone(12)), make_patches(form, zero=False)), plain)


def test_patches_are_as_the_paper_writes_them():
    torch.manual_seed(0)
    serial, parallel = Patch(6, 2, "serial"), Patch(6, 2, "parallel")
    assert not serial.starts_at_zero
    x, y = torch.randn(4, 6), torch.randn(4, 6)
    for patch, seen in ((serial, y), (parallel, x)):
        bottleneck = F.gelu(seen @ patch.down.weight.t() + patch.down.bias) @ patch.up.weight.t() + patch.up.bias
        torch.testing.assert_close(patch(x, y), y + bottleneck)


def test_forms_are_checked():
    with pytest.raises(ValueError, match="one of serial, parallel, not 'both'"):
        Patch(6, 2, "both")
