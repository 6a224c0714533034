"""How a state of a history scores items.

Shapes: B states, N items, D hidden.
"""

from typing import ClassVar

from torch import Tensor, nn

from recbole_mpo.layers.losses import unit


class InnerProductScoring:
    """Scores are inner products of states and item vectors."""

    modules: ClassVar[dict[str, nn.Module]] = {}
    """What the model registers, by name."""

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return states [B, D] as scores take them."""
        return states_BD

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return item vectors [N, D] as scores take them."""
        return item_vectors_ND

    def rows(self, rows: slice | Tensor, vectors_MD: Tensor) -> Tensor:
        """Return the rows of :meth:`~ItemVectorRecommender.encode_items` for items with these vectors."""
        return vectors_MD

    def rows_of_text(self, vectors_MD: Tensor) -> Tensor:
        """Return the same for items that have text alone."""
        return vectors_MD


class CosineScoring(InnerProductScoring):
    """Scores are cosines over a temperature (UniSRec, eq. 9)."""

    def __init__(self, temperature: float):
        self.temperature = temperature

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return states of length 1 / temperature."""
        return unit(states_BD) / self.temperature

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return item vectors of length one, zero where they are zero."""
        return unit(item_vectors_ND)
