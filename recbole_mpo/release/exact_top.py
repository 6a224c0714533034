"""The best candidates of queries by inner product, exactly, without holding the scores of all.

A cheap score of each candidate and a bound on its error say which candidates can be among the best; these alone get
their exact score. The answer therefore depends neither on the cheap score nor on blocks, batches or threads.

Shapes: B queries, C candidates (row 0 is PAD), D vector, c candidates of a block, K results, P pairs of a query and a
candidate.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_mpo.common.errors import DataError

# Largest relative error of rounding to float32.
UNIT = 2.0**-24
# Smallest float32 that every processor computes with; it takes smaller ones for zero if it is told to.
SMALLEST = 2.0**-126
# Above this product of lengths a float32 score may overflow.
LARGEST = 1e37
# Relative errors of one factor where torch may multiply in fewer bits (``torch.set_float32_matmul_precision``).
FACTOR_ERRORS = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-7}
# A block for one query is small enough for one thread: waiting for the others costs more than it saves.
BLOCK, BLOCK_SCORES, PAIRS = 32_768, 4_194_304, 8_192


@dataclass(frozen=True)
class Best:
    """The best candidates of each query, best first; of equal scores the lower row comes first.

    Attributes:
        rows: [B, K] rows of the candidates; 0 where there are no more.
        scores: [B, K] their scores; minus infinity where there are no more.
    """

    rows: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Block:
    """What is known of the scores of the candidates ``begin`` to ``begin + c``.

    Attributes:
        begin: row of the first.
        lower: [B, c] no score is smaller.
        upper: [B, c] no score is larger; minus infinity where a candidate is left out.
    """

    begin: int
    lower: Tensor
    upper: Tensor

    @property
    def end(self) -> int:
        """Row after the last."""
        return self.begin + self.upper.shape[1]


def exact_scores(queries_PD: Tensor, vectors_PD: Tensor) -> Tensor:
    """Return the scores [P] of pairs: inner products in float64, in which products are exact, rounded to float32.

    A pair's score does not depend on the other pairs.
    """
    return (queries_PD.double() * vectors_PD.double()).sum(dim=1).float()


class BlockedTopK:
    """The best candidates by float32 products with one block of candidates after another.

    A float32 product ``s`` of D terms, summed in any order, is off by at most ``D u / (1 - D u) |q| |x|``, where
    ``u = 2^-24`` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and where numbers are too small for
    float32 by ``D 2^-126 (3 + |q| + max |x|)``. The exact score (``exact_scores``) is off by ``2^-24 |q x|`` and next
    to nothing in float64. So the exact score lies within
    ``(D + 4) u 1.01 |q| |x| + D 2^-126 (4 + |q| + max |x|)`` of ``s``.

    If t is the K-th largest exact score so far, or the K-th largest lower bound in a block, then at least K candidates
    score t or more, and one whose upper bound is below t is not among the best K, not even by a tie. The others get
    their exact score and are sorted by it and by row. Memory: B times ``BLOCK`` candidates.

    Args:
        vectors: the candidates [C, D]; row 0 is PAD and is never returned.

    Raises:
        DataError: a vector is not finite.
    """

    def __init__(self, vectors: Tensor):
        self.vectors = vectors.detach().float()
        self.lengths = lengths_of(self.vectors)
        if not self.lengths.isfinite().all():
            row = int((~self.lengths.isfinite()).nonzero()[0])
            raise DataError(f"the vector of candidate {row} is not finite; the model has diverged")
        self.largest = float(self.lengths.max()) if len(self.lengths) else 0.0
        self.rounded_lengths = upwards(self.lengths)

    def grown(self, vectors: Tensor) -> "BlockedTopK":
        """Return the same for these candidates and more after them, of which alone lengths are computed.

        Args:
            vectors: all candidates [C, D], the first of which are those of this object.

        Raises:
            DataError: a vector is not finite.
        """
        more = BlockedTopK(vectors[len(self.vectors) :])
        both = copy.copy(self)
        both.vectors = vectors.detach().float()
        both.lengths = torch.cat([self.lengths, more.lengths])
        both.largest = max(self.largest, more.largest)
        both.rounded_lengths = torch.cat([self.rounded_lengths, more.rounded_lengths])
        return both

    def search(
        self, queries: Tensor, topk: int, excluded: Iterable[Tensor] = (), left_out: Tensor | None = None
    ) -> Best:
        """Return the best ``min(topk, C)`` candidates of each query.

        Args:
            queries: [B, D].
            topk: number of candidates per query.
            excluded: for each query the rows that are left out, in any order; rows of C and above are ignored.
            left_out: rows that are left out for all queries.

        Raises:
            DataError: a query is not finite.
        """
        queries = queries.detach().to(self.vectors)
        if not queries.isfinite().all():
            raise DataError("a query is not finite; the model has diverged")
        best = _Running(queries, self.vectors, min(topk, len(self.vectors)))
        if not best.topk or not len(queries):
            return best.result()
        marks = _LeftOut(excluded, left_out, len(self.vectors), self.vectors.device)
        for block in self._blocks(queries):
            marks.mark(block)
            chosen = best.possible(block)
            if len(chosen[0]) > block.upper.numel() // 16 > 0:
                # Too many exact scores cost more than a tighter bound.
                block = self._float32(queries, block.begin, block.end)
                marks.mark(block)
                chosen = best.possible(block)
            best.add(*chosen)
        return best.result()

    def _blocks(self, queries: Tensor) -> Iterator[Block]:
        size = max(min(BLOCK, BLOCK_SCORES // max(len(queries), 1)), 1024)
        for begin in range(0, len(self.vectors), size):
            yield self._float32(queries, begin, min(begin + size, len(self.vectors)))

    def _float32(self, queries: Tensor, begin: int, end: int) -> Block:
        """Return the bounds that follow from float32 products."""
        lengths = lengths_of(queries)
        if float(lengths.max()) * self.largest >= LARGEST:
            unknown = queries.new_full((len(queries), end - begin), torch.inf)
            return Block(begin, -unknown, unknown)
        scores, size = queries @ self.vectors[begin:end].t(), queries.shape[1]
        relative = (size + 4) * UNIT * 1.01 + 3 * FACTOR_ERRORS[torch.get_float32_matmul_precision()]
        bounds = torch.outer(upwards(lengths * relative), self.rounded_lengths[begin:end])
        bounds += upwards(size * SMALLEST * (4 + lengths + self.largest))[:, None]
        return Block(begin, scores - bounds, bounds.add_(scores))


def upwards(values: Tensor) -> Tensor:
    """Return float64 values as float32 ones that are no smaller, with room for the rounding of a sum of them."""
    return (values * (1 + 2.0**-20)).float()


def lengths_of(vectors: Tensor) -> Tensor:
    """Return the lengths [C] of vectors [C, D] in float64, whose squares do not overflow."""
    parts = [torch.linalg.vector_norm(part, dim=1, dtype=torch.float64) for part in vectors.split(2048)]
    return torch.cat(parts)


class _LeftOut:
    """The candidates that are left out: PAD, those excluded for a query, and those left out for all."""

    def __init__(self, excluded: Iterable[Tensor], everywhere: Tensor | None, count: int, device: torch.device):
        lists = [rows.to(device).long() for rows in excluded]
        rows = torch.cat(lists) if lists else torch.zeros(0, dtype=torch.long, device=device)
        queries = [torch.full_like(rows, query) for query, rows in enumerate(lists)]
        self.rows, order = rows.sort()
        self.queries = torch.cat(queries)[order] if lists else rows
        self.others = torch.zeros(count, dtype=torch.bool, device=device)
        self.others[:1] = True
        if everywhere is not None:
            self.others[everywhere.to(device)] = True
        self.only_first = everywhere is None

    def mark(self, block: Block):
        """Set both bounds of what is left out to minus infinity."""
        ends = torch.tensor([block.begin, block.end], device=self.rows.device)
        first, last = torch.searchsorted(self.rows, ends).tolist()
        places = self.queries[first:last], self.rows[first:last] - block.begin
        for bounds in (block.lower, block.upper):
            bounds[places] = -torch.inf
            if block.begin == 0 or not self.only_first:
                bounds[:, self.others[block.begin : block.end]] = -torch.inf


class _Running:
    """The best so far, as pairs sorted by query, falling score and row."""

    def __init__(self, queries: Tensor, vectors: Tensor, topk: int):
        self.queries_BD, self.vectors, self.topk = queries, vectors, topk
        self.of = torch.zeros(0, dtype=torch.long, device=queries.device)
        self.rows, self.scores = self.of, queries.new_zeros(0)
        # The K-th best score of each query; what is left out is below.
        self.least = queries.new_full((len(queries), 1), torch.finfo().min)

    def possible(self, block: Block) -> tuple[Tensor, Tensor]:
        """Return the queries and rows of the candidates of a block that can be among the best."""
        least = self.least
        chosen = (block.upper >= least).nonzero()
        if len(chosen) > 4 * self.topk * len(self.queries_BD) and block.lower.shape[1] >= self.topk:
            least = torch.maximum(least, block.lower.topk(self.topk, dim=1).values[:, -1:])
            chosen = (block.upper >= least).nonzero()
        return chosen[:, 0], chosen[:, 1] + block.begin

    def add(self, of: Tensor, rows: Tensor):
        """Score pairs exactly and keep the best."""
        for of_part, rows_part in zip(of.split(PAIRS), rows.split(PAIRS), strict=True):
            self._add(of_part, rows_part)

    def _add(self, of: Tensor, rows: Tensor):
        if not len(of):
            return
        queries, vectors = self.queries_BD.index_select(0, of), self.vectors.index_select(0, rows)
        of, rows = torch.cat([self.of, of]), torch.cat([self.rows, rows])
        scores = torch.cat([self.scores, exact_scores(queries, vectors)])
        order = rows.argsort()
        order = order[scores[order].argsort(descending=True, stable=True)]
        order = order[of[order].argsort(stable=True)]
        self.of = of[order]
        kept = order[self._places() < self.topk]
        self.of, self.rows, self.scores = of[kept], rows[kept], scores[kept]
        places = self._places()
        last = places == self.topk - 1
        self.least[self.of[last], 0] = self.scores[last].clamp(min=torch.finfo().min)

    def _places(self) -> Tensor:
        """Return the place of each pair among those of its query, from 0."""
        counts = self.of.bincount(minlength=len(self.queries_BD))
        return torch.arange(len(self.of), device=self.of.device) - (counts.cumsum(0) - counts)[self.of]

    def result(self) -> Best:
        """Return the best of each query."""
        shape = len(self.queries_BD), self.topk
        rows = self.rows.new_zeros(shape)
        scores = self.scores.new_full(shape, -torch.inf)
        places = self.of, self._places()
        rows[places], scores[places] = self.rows, self.scores
        return Best(rows, scores)
