"""How the state of a history scores items.

Shapes: B states, N items, D hidden, S size of an id.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from recbole_mpo.layers.cpu_kernels import Dropout
from recbole_mpo.layers.losses import unit
from recbole_mpo.model.item_encoder import take

# Prefix of the parameters of ids that stand in the scores alone.
ITEM_IDS = "item_ids."


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

    def id_scores(self, queries_BX: Tensor, rows_R: Tensor, vectors_RX: Tensor, ids_RD: Tensor | None) -> Tensor | None:
        """Return the part [B, R] of scores that ids of items give; None if items are scored without ids.

        Args:
            queries_BX: result of ``queries``.
            rows_R: which items, all of which have ids.
            vectors_RX: their rows of ``encode_items``.
            ids_RD: what ids add to their vectors; None if nothing.
        """
        return None if ids_RD is None else queries_BX @ ids_RD.t()


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

    def id_scores(self, queries_BX: Tensor, rows_R: Tensor, vectors_RX: Tensor, ids_RD: Tensor | None) -> Tensor | None:
        """Return the part [B, R] of scores that ids of items give: a cosine divides both parts by one length."""
        if ids_RD is None:
            return None
        lengths_R1 = torch.linalg.vector_norm(vectors_RX, dim=1, keepdim=True).clamp(min=1e-30)
        return queries_BX @ (ids_RD / lengths_R1).t()


class ItemIds(nn.Module):
    """Ids of items for scores alone, and how a state reads them; both ids and biases start at zero.

    Args:
        item_num: number of items N, PAD included.
        hidden_size: size of a state D.
        id_size: size of an id S.
        state_dropout: probability of dropping an entry of a state before it is compared with ids.
        dropout: probability of leaving ids and biases out of all scores of a state, in training.
    """

    def __init__(self, item_num: int, hidden_size: int, id_size: int, state_dropout: float, dropout: float):
        super().__init__()
        # Not an embedding: those are drawn from a normal distribution when a model is built.
        self.table = nn.Parameter(torch.zeros(item_num, id_size))
        self.bias = nn.Parameter(torch.zeros(item_num, 1))
        self.query = nn.Linear(hidden_size, id_size)
        self.state_dropout = Dropout(state_dropout)
        self.dropout = dropout

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return what states are compared with ids and biases by [B, S + 1]; zero for states that go without ids."""
        queries_BS = self.query(self.state_dropout(states_BD))
        queries_BS = nn.functional.pad(queries_BS, (0, 1), value=1.0)
        if not (self.training and self.dropout > 0):
            return queries_BS
        return queries_BS * (torch.rand_like(queries_BS[:, :1]) >= self.dropout)


class TextAndIdScoring(CosineScoring):
    """Cosines of the text divided by a temperature, plus inner products with ids, plus a bias per item.

    A text model gives items with equal texts equal scores, and cannot learn that one of two similar items sells better.
    The states read the text alone, so an item without interactions is scored as by a text model. At the start the ids
    are zero, so that they change nothing. Ids alone soon know the training histories by heart, and the text would
    learn no more; so some states must do without them.

    Args:
        temperature: divides the cosines.
        item_num: number of items N, PAD included.
        hidden_size: size of a state D.
        id_size: size of an id S.
        state_dropout: probability of dropping an entry of a state before it is compared with ids.
        dropout: probability of leaving ids and biases out of all scores of a state, in training.
    """

    def __init__(
        self,
        temperature: float,
        item_num: int,
        hidden_size: int,
        id_size: int,
        state_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__(temperature)
        self.hidden_size = hidden_size
        ids = ItemIds(item_num, hidden_size, id_size, state_dropout, dropout)
        self.modules: dict[str, nn.Module] = {"item_ids": ids}

    @property
    def _ids(self) -> ItemIds:
        return self.modules["item_ids"]

    def queries(self, states_BD: Tensor) -> Tensor:
        """Return states [B, D + S + 1]: for cosines, for ids, and a one for the bias."""
        return torch.cat([super().queries(states_BD), self._ids.queries(states_BD)], dim=1)

    def candidates(self, item_vectors_ND: Tensor) -> Tensor:
        """Return item vectors [N, D + S + 1], the part of the text with length one."""
        text_ND, ids_NS = item_vectors_ND[:, : self.hidden_size], item_vectors_ND[:, self.hidden_size :]
        return torch.cat([super().candidates(text_ND), ids_NS], dim=1)

    def rows(self, rows: slice | Tensor, vectors_MD: Tensor) -> Tensor:
        """Return vector, id and bias of items side by side [M, D + S + 1]."""
        return torch.cat([vectors_MD, take(self._ids.table, rows), take(self._ids.bias, rows)], dim=1)

    def rows_of_text(self, vectors_MD: Tensor) -> Tensor:
        """Return the same for items that have text but no id, whose id and bias are zero."""
        return nn.functional.pad(vectors_MD, (0, self._ids.table.shape[1] + 1))

    def id_scores(self, queries_BX: Tensor, rows_R: Tensor, vectors_RX: Tensor, ids_RD: Tensor | None) -> Tensor | None:
        """Return the part [B, R] of scores that ids and biases of items give."""
        return queries_BX[:, self.hidden_size :] @ vectors_RX[:, self.hidden_size :].t()
