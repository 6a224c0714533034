"""How the state of a history scores items.

Shapes: B states, N items, D hidden.
"""

from typing import ClassVar

from torch import Tensor, nn

from recbole_mpo.layers.losses import unit


class InnerProductScoring:
    """Scores are inner products of states and item vectors."""

    modules: ClassVar[dict[str, nn.Module]] = {}
    """Modules that the model registers, by name."""

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return states [B, D] in the form used for scores."""
        return states_BD

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return item vectors [N, D] in the form used for scores."""
        return item_vectors_ND

    def rows(self, rows: slice | Tensor, vectors_MD: Tensor) -> Tensor:
        """Return the rows of ``encode_items`` for items with vectors [M, D]; ``rows`` says which items they are."""
        return vectors_MD

    def rows_of_text(self, vectors_MD: Tensor) -> Tensor:
        """Return the same for items that have text but no id."""
        return vectors_MD


class CosineScoring(InnerProductScoring):
    """Scores are cosines divided by a temperature (UniSRec, eq. 9)."""

    def __init__(self, temperature: float):
        self.temperature = temperature

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return states of length 1 / temperature."""
        return unit(states_BD) / self.temperature

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return item vectors of length one; a zero vector stays zero."""
        return unit(item_vectors_ND)
