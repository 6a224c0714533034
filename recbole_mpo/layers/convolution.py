"""Dilated convolutions over sequences, causal or centred, tokens after prefixes, and patches that adapt convolutions.

Sources: Yuan et al., "A Simple Convolutional Generative Network for Next Item Recommendation" (NextItNet), WSDM 2019;
Yuan et al., "Parameter-Efficient Transfer from Sequential Behaviors for User Modeling and Recommendation" (PeterRec),
SIGIR 2020.

A token is a state that follows a prefix of a sequence, as an additional last item would.

Shapes: R rows, L length of a row, P = R * L places of items, W tokens, S = P + W states, D hidden, K kernel size, B
sequences.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH_FORMS = ("serial", "parallel")


class Places(Protocol):
    """Where the taps of a convolution find the states that they read.

    Attributes:
        item_count: number of the states, counted from the first, that others may read.
        length: the largest number of items of a sequence, or a bound of it.
    """

    item_count: int
    length: int

    def own_tap(self, kernel_size: int) -> int:
        """Return the number of the tap that reads the state itself; later taps read later states."""

    def gather(self, x_PD: Tensor, steps: int) -> Tensor:
        """Return the vectors [S, D] that are ``steps`` before each state, or after it if negative; zero if absent."""


class Predecessors:
    """For each state, the place of the item that comes some steps earlier in its sequence.

    A row may hold several sequences one after another. A token has the place after the last item of its prefix. What
    comes before a token are items, so no state but the token itself sees it.

    Args:
        positions_RL: position of each place within its sequence.
        ends_W: places of the last items of the prefixes that have a token; None if there are no tokens.
    """

    def __init__(self, positions_RL: Tensor, ends_W: Tensor | None = None):
        self.length = positions_RL.shape[1]
        self.positions_S = positions_RL.flatten()
        self.places_S = torch.arange(len(self.positions_S), device=positions_RL.device)
        self.item_count = len(self.places_S)
        if ends_W is not None:
            self.positions_S = torch.cat([self.positions_S, self.positions_S.index_select(0, ends_W) + 1])
            self.places_S = torch.cat([self.places_S, ends_W + 1])

    def own_tap(self, kernel_size: int) -> int:
        """Return the last tap: none reads a later state."""
        return kernel_size - 1

    def gather(self, x_PD: Tensor, steps: int) -> Tensor:
        """Return the vectors [S, D] of the items ``steps`` before each state; zero before its sequence begins.

        Args:
            x_PD: vectors of the items.
            steps: number of items to go back, at least 0.
        """
        exists_S = self.positions_S >= steps
        rows_SD = F.embedding((self.places_S - steps).clamp(min=0), x_PD)
        return rows_SD * exists_S.to(x_PD.dtype).unsqueeze(1)


class Neighbours:
    """For each state of sequences that stand one after another, the place of the one some steps earlier or later.

    Args:
        lengths_B: number of states of each sequence, at least 1.
    """

    def __init__(self, lengths_B: Tensor):
        ends_B = lengths_B.cumsum(dim=0)
        self.item_count = int(ends_B[-1]) if len(ends_B) else 0
        self.length = int(lengths_B.max()) if len(lengths_B) else 0
        self.places_S = torch.arange(self.item_count, device=lengths_B.device)
        self.earlier_S = self.places_S - (ends_B - lengths_B).repeat_interleave(lengths_B)
        self.later_S = ends_B.repeat_interleave(lengths_B) - 1 - self.places_S

    def own_tap(self, kernel_size: int) -> int:
        """Return the tap in the middle.

        Raises:
            ValueError: ``kernel_size`` is even.
        """
        if kernel_size % 2 == 0:
            raise ValueError(f"a convolution that sees both sides has an odd number of taps, not {kernel_size}")
        return kernel_size // 2

    def gather(self, x_SD: Tensor, steps: int) -> Tensor:
        """Return the vectors [S, D] of the states ``steps`` before each; zero beyond the ends of its sequence.

        Args:
            x_SD: vectors of all states.
            steps: number of states to go back; negative to go on.
        """
        exists_S = (self.earlier_S >= steps) & (self.later_S >= -steps)
        rows_SD = F.embedding((self.places_S - steps).clamp(0, self.item_count - 1), x_SD)
        return rows_SD * exists_S.to(x_SD.dtype).unsqueeze(1)


class SequenceConvolution(nn.Module):
    """``nn.Conv1d`` with D channels and an input padded with zeros, on the left or on both sides of each sequence.

    The places that it is called with say on which: with ``Predecessors`` no state sees a later one. Parameters have the
    names and shapes of ``nn.Conv1d``: ``weight`` [D, D, K], ``bias`` [D].

    Args:
        hidden_size: number of channels, D.
        kernel_size: number of taps, K.
        dilation: steps between taps.
    """

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int):
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.weight = nn.Parameter(torch.empty(hidden_size, hidden_size, kernel_size).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, states_SD: Tensor, places: Places) -> Tensor:
        """Return states [S, D], each computed from itself and the items at the places of the other taps.

        Args:
            states_SD: items, then tokens.
            places: where the taps read.
        """
        weights, own = self.weight.unbind(dim=2), places.own_tap(self.kernel_size)
        result_SD = F.linear(states_SD, weights[own], self.bias)
        items_PD = states_SD[: places.item_count]
        for tap in reversed(range(self.kernel_size)):
            steps = (own - tap) * self.dilation
            if tap != own and abs(steps) <= places.length:
                # Project first: then the older taps of a token need no projections of their own.
                result_SD = result_SD + places.gather(F.linear(items_PD, weights[tap]), steps)
        return result_SD


class Patch(nn.Module):
    """A bottleneck beside a convolution, ``y + W_up gelu(W_down h + b) + b'``.

    If W_up and b' are zero, the output is y.

    Args:
        hidden_size: size of a state, D.
        width: size of the bottleneck.
        form: ``serial``, where h is the convolution's output y, or ``parallel``, where h is its input.
        starts_at_zero: whether ``normal_weights`` sets W_up to zero.

    Raises:
        ValueError: ``form`` is unknown.
    """

    def __init__(self, hidden_size: int, width: int, form: str, starts_at_zero: bool = False):
        super().__init__()
        if form not in PATCH_FORMS:
            raise ValueError(f"the form of a patch is one of {', '.join(PATCH_FORMS)}, not {form!r}")
        self.form = form
        self.starts_at_zero = starts_at_zero
        self.down = nn.Linear(hidden_size, width)
        self.up = nn.Linear(width, hidden_size)

    def forward(self, inputs_SD: Tensor, outputs_SD: Tensor) -> Tensor:
        """Return the outputs [S, D] of a convolution plus the bottleneck's output.

        Args:
            inputs_SD: inputs of the convolution.
            outputs_SD: outputs of the convolution.
        """
        read_SD = outputs_SD if self.form == "serial" else inputs_SD
        return outputs_SD + self.up(F.gelu(self.down(read_SD)))


class ResidualBlock(nn.Module):
    """NextItNet's block (b): ``E + ReLU(LN(DC_2l(ReLU(LN(DC_l(E))))))``, where DC_l has dilation l."""

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int):
        super().__init__()
        self.conv1 = SequenceConvolution(hidden_size, kernel_size, dilation)
        self.ln1 = nn.LayerNorm(hidden_size, eps=1e-8)
        self.conv2 = SequenceConvolution(hidden_size, kernel_size, 2 * dilation)
        self.ln2 = nn.LayerNorm(hidden_size, eps=1e-8)

    def forward(self, states_SD: Tensor, places: Places, patches: Sequence[Patch] | None = None) -> Tensor:
        """Return states [S, D]; each of the two ``patches`` acts between a convolution and its normalisation."""
        hidden_SD = states_SD
        for number, (convolution, norm) in enumerate(((self.conv1, self.ln1), (self.conv2, self.ln2))):
            convolved_SD = convolution(hidden_SD, places)
            if patches is not None:
                convolved_SD = patches[number](hidden_SD, convolved_SD)
            hidden_SD = F.relu(norm(convolved_SD))
        return states_SD + hidden_SD


class DilatedConvolutions(nn.Module):
    """A stack of residual blocks, NextItNet's block (b), one per dilation.

    Args:
        hidden_size: size of a state, D.
        kernel_size: number of taps of a convolution, K.
        dilations: dilation of the first convolution of each block; that of the second is twice as large.
    """

    def __init__(self, hidden_size: int, kernel_size: int, dilations: Sequence[int]):
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(hidden_size, kernel_size, dilation) for dilation in dilations)

    def forward(self, states_SD: Tensor, places: Places, patches: Sequence[Sequence[Patch]] | None = None) -> Tensor:
        """Return states [S, D] after the last block.

        Args:
            states_SD: items, then tokens, in the order of ``places``.
            places: where the convolutions read, built for the batch.
            patches: two patches per block; None for a network without patches.
        """
        for number, block in enumerate(self.blocks):
            states_SD = block(states_SD, places, None if patches is None else patches[number])
        return states_SD
