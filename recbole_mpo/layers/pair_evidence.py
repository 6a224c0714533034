"""Evidence beside a parametric model: sparse tables of pairs of items, with learned weights.

A text model blurs which items were bought together and which words two texts share; tables know that and nothing else.

Shapes: B rows, K newest items, N items (0 is PAD), E entries, T tables of one kind.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from recbole_mpo.layers.losses import SparseLogits

# Weight at the start of an item that the history already has: few items are bought again.
REPEAT_START = -2.0


def newest_items(item_seq: Tensor, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the newest ``count`` items of left-aligned histories, the last one first, and which of them exist.

    Args:
        item_seq: ids [B, L], padded on the right.
        lengths: number of items of each history [B].
        count: number of items to return per history, K.

    Returns:
        Ids [B, K] and whether each item exists [B, K]; where it does not, the id has no meaning.
    """
    back_BK = lengths.unsqueeze(1) - 1 - torch.arange(count, device=lengths.device)
    return item_seq.gather(1, back_BK.clamp(min=0)), back_BK >= 0


@dataclass(frozen=True)
class Recent:
    """The newest items of rows, and whose rows they are.

    Attributes:
        items: [B, L] ids, the last item first.
        exists: [B, L] which of them exist.
        users: [B] users of training rows, which do not find themselves in the tables; None for evaluation.
    """

    items: Tensor
    exists: Tensor
    users: Tensor | None = None

    @classmethod
    def of(cls, item_seq: Tensor, lengths: Tensor, users: Tensor | None = None) -> "Recent":
        """Return all items of left-aligned histories [B, L], padded on the right, of lengths [B]."""
        return cls(*newest_items(item_seq, lengths, item_seq.shape[1]), users)

    def newest(self, count: int) -> "Recent":
        """Return the newest ``count`` items."""
        return replace(self, items=self.items[:, :count], exists=self.exists[:, :count])

    def within(self, size: int) -> "Recent":
        """Return the same without the items from an id on."""
        return replace(self, exists=self.exists & (self.items < size))

    def places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the row, the age and the id of each item that exists."""
        rows, ages = self.exists.nonzero(as_tuple=True)
        return rows, ages, self.items[rows, ages]


@dataclass(frozen=True)
class Columns:
    """Items that are scored.

    Attributes:
        count: number of columns of the logits.
        of_item: [N] the column of each item, -1 for those that are not scored; None if item j has column j.
    """

    count: int
    of_item: Tensor | None = None

    @property
    def known_items(self) -> int:
        """Return N, the number of items that may be scored."""
        return self.count if self.of_item is None else len(self.of_item)

    def among(self, item_num: int, device) -> "Columns":
        """Return the same for entries of so many items, some of which may have no column."""
        if item_num <= self.known_items:
            return self
        of_item = torch.full((item_num,), -1, device=device)
        of_item[: self.known_items] = torch.arange(self.count, device=device) if self.of_item is None else self.of_item
        return Columns(self.count, of_item)

    def scored(self, rows: Tensor, items: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places of entries [E] in the flattened logits, and their values, without items not scored."""
        if self.of_item is None:
            return rows * self.count + items, values
        columns = self.of_item.index_select(0, items)
        is_scored = columns >= 0
        return rows[is_scored] * self.count + columns[is_scored], values[is_scored]


@dataclass(frozen=True)
class PairTables:
    """Numbers of pairs of items as CSR matrices one after another: that of evaluation first, then those of training.

    Row b of a training batch reads table ``1 + users[b] % (T - 1)``, or the only one if T is 1.

    Attributes:
        starts: [T, N + 1] where the entries of each item begin.
        columns: [nnz] the other item of each entry.
        values: [nnz] its number, not negative.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor

    @classmethod
    def of(cls, matrices: Sequence) -> "PairTables":
        """Return the tables of T matrices [N, N] of SciPy in CSR form."""
        begins = [0, *torch.tensor([matrix.nnz for matrix in matrices]).cumsum(0).tolist()]
        starts = [torch.from_numpy(one.indptr).long() + begin for one, begin in zip(matrices, begins, strict=False)]
        columns = torch.cat([torch.from_numpy(one.indices).int() for one in matrices])
        values = torch.cat([torch.from_numpy(one.data).float() for one in matrices])
        return cls(torch.stack(starts), columns, values)


class PairEvidence(nn.Module):
    """Adds ``a * g(sum_k w_k T[x_k, j])`` to the logit of item j, where x_k is the k-th last item of the history.

    a, the w_k and, if g is ``log(1 + f s)``, its factor f are learned; the w_k and f stay positive.

    Args:
        tables: the numbers T.
        weight: a at the start.
        recent_weights: w_k at the start, K of them.
        factor: f at the start; without it, g(s) = s.
    """

    def __init__(self, tables: PairTables, weight: float, recent_weights: Sequence[float], factor: float | None = None):
        super().__init__()
        self._start = weight, recent_weights, factor
        self.weight = nn.Parameter(torch.empty(()))
        self.log_recent = nn.Parameter(torch.empty(len(recent_weights)))
        self.log_factor = None if factor is None else nn.Parameter(torch.empty(()))
        self.reset()
        self.use(tables)

    @torch.no_grad()
    def reset(self):
        """Set what is learned to where it starts."""
        weight, recent_weights, factor = self._start
        self.weight.fill_(weight)
        self.log_recent.copy_(torch.tensor(recent_weights, dtype=torch.float32).log())
        if self.log_factor is not None:
            self.log_factor.copy_(torch.tensor(float(factor)).log())

    def use(self, tables: PairTables):
        """Read other tables from now on."""
        for name in ("starts", "columns", "values"):
            self.register_buffer(name, getattr(tables, name), persistent=False)

    def reading(self, tables: PairTables) -> "PairEvidence":
        """Return evidence with the same weights that reads other tables; this one goes on as it is."""
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        other.use(tables)
        return other

    def use_in_training(self, tables: PairTables):
        """Let training rows read these tables, beside the only one that there is, which stays that of evaluation."""
        values = tables.values.to(self.values)
        more = tables.starts.to(self.starts) + len(self.values), tables.columns.to(self.columns), values
        self.use(PairTables(*map(torch.cat, zip((self.starts, self.columns, self.values), more, strict=True))))

    def forward(self, recent: Recent, columns: Columns) -> SparseLogits:
        """Return the entries to add to logits; no place occurs twice, and items of the history have none.

        Args:
            recent: the items of rows' histories.
            columns: the items that are scored.
        """
        rows, items, numbers = self._entries(recent)
        # Items of the history become so negative that no sum makes up for it.
        own_rows, _, own_items = recent.within(columns.known_items).places()
        columns = columns.among(self.starts.shape[1] - 1, rows.device)
        places, numbers = columns.scored(
            torch.cat([rows, own_rows]),
            torch.cat([items, own_items]),
            torch.cat([numbers, numbers.new_full((len(own_rows),), -torch.inf)]),
        )
        places, place_of = torch.unique(places, return_inverse=True)
        sums = numbers.new_zeros(len(places)).index_add(0, place_of, numbers)
        new = (sums >= 0).nonzero().squeeze(1)
        places, sums = places.index_select(0, new), sums.index_select(0, new)
        shown = sums if self.log_factor is None else torch.log1p(self.log_factor.exp() * sums)
        return SparseLogits.at(places, columns.count, self.weight * shown)

    def _entries(self, recent: Recent) -> tuple[Tensor, Tensor, Tensor]:
        """Return row, item and weighted number of each entry of the K newest items; (row, item) may repeat."""
        tables, size = len(self.starts), self.starts.shape[1] - 1
        # Items that only have text are not in a table of counts.
        row_P, age_P, item_P = recent.newest(len(self.log_recent)).within(size).places()
        table_P = 0 if recent.users is None or tables == 1 else (1 + recent.users % (tables - 1))[row_P]
        begin_P, end_P = self.starts[table_P, item_P], self.starts[table_P, item_P + 1]
        length_P = end_P - begin_P
        pair = torch.repeat_interleave(length_P)
        offset_P = begin_P - (length_P.cumsum(0) - length_P)
        entry = torch.arange(len(pair), device=pair.device) + offset_P.index_select(0, pair)
        weight_P = self.log_recent.exp().index_select(0, age_P)
        numbers = self.values.index_select(0, entry) * weight_P.index_select(0, pair)
        return row_P.index_select(0, pair), self.columns.index_select(0, entry).long(), numbers


class ItemEvidence(nn.Module):
    """Sum of several kinds of evidence, and learned weights for items that the history already has.

    An item of the history gets its weight alone, by the place where it is newest: in evaluation the tables hold the
    user's own earlier pairs, in joint training they do not.

    Args:
        kinds: the kinds of evidence by name.
        newest: number of places in a history that have a weight each, K; older ones share one.
        strength: multiplies all of it in evaluation.
        trains_jointly: whether it is part of the model's training. If not, it is fitted later and unused before, which
            ``is_fitted`` says in checkpoints, and nothing else trains it.
        training: makes the tables that training rows read, by kind; it is called when the first of them come, so that
            what is only evaluated goes without.
    """

    def __init__(
        self,
        kinds: Mapping[str, PairEvidence],
        newest: int,
        strength: float = 1.0,
        trains_jointly: bool = True,
        training: Callable[[], Mapping[str, PairTables]] | None = None,
    ):
        super().__init__()
        self.strength, self.trains_jointly = strength, trains_jointly
        self._training = training
        self.register_buffer("is_fitted", torch.tensor(trains_jointly))
        self.kinds = nn.ModuleDict(kinds)
        self.repeats = nn.Parameter(torch.full((newest + 1,), REPEAT_START))
        self.requires_grad_(trains_jointly)

    def reset(self):
        """Set all that is learned to where it starts."""
        nn.init.constant_(self.repeats, REPEAT_START)
        for evidence in self.kinds.values():
            evidence.reset()

    def reading(self, tables: Mapping[str, PairTables]) -> "ItemEvidence":
        """Return evidence with the same weights in which some kinds read other tables; this one goes on as it is.

        Args:
            tables: the other tables by kind.
        """
        kinds = {name: kind.reading(tables[name]) if name in tables else kind for name, kind in self.kinds.items()}
        other = copy.copy(self)
        other._modules = {**self._modules, "kinds": nn.ModuleDict(kinds)}
        return other

    def make_training_tables(self):
        """Make the tables that training rows read, unless they are there."""
        if self._training is not None:
            for kind, tables in self._training().items():
                self.kinds[kind].use_in_training(tables)
            self._training = None

    def forward(self, recent: Recent, columns: Columns) -> SparseLogits:
        """Return the entries to add to logits; a place may occur several times, and its values add up.

        Args:
            recent: the items of rows' histories.
            columns: the items that are scored.
        """
        return SparseLogits.joined([*self.parts(recent, columns).values()])

    def parts(self, recent: Recent, columns: Columns) -> dict[str, SparseLogits]:
        """Return the entries to add to logits by kind, and as ``repeats`` those of items of the history.

        Args:
            recent: the items of rows' histories.
            columns: the items that are scored.
        """
        if recent.users is not None:
            self.make_training_tables()
        parts = {name: evidence(recent, columns) for name, evidence in self.kinds.items()}
        parts["repeats"] = self._repeated(recent, columns)
        if recent.users is not None:
            return parts
        return {name: replace(part, values=self.strength * part.values) for name, part in parts.items()}

    def _repeated(self, recent: Recent, columns: Columns) -> SparseLogits:
        rows, ages, items = recent.within(columns.known_items).places()
        places, ages = columns.scored(rows, items, ages)
        places, place_of = torch.unique(places, return_inverse=True)
        newest = ages.new_full((len(places),), recent.items.shape[1]).scatter_reduce(0, place_of, ages, "amin")
        return SparseLogits.at(places, columns.count, self.repeats[newest.clamp(max=len(self.repeats) - 1)])
