"""How the best candidates of recommendations are found.

Shapes: B histories, L length, C candidates (row 0 is PAD), D vector, K results.
"""

from pathlib import Path

import torch
from torch import Tensor

from recbole_mpo.common.errors import ConfigError, DataError
from recbole_mpo.release.candidate_scores import RowScores, VectorScores
from recbole_mpo.release.exact_top import Best, BlockedTopK
from recbole_mpo.release.index_top import IndexTopK
from recbole_mpo.release.int8_top import Int8TopK

KINDS = ("float32", "int8", "index")


def top_items(vectors: Tensor, kind: str = "float32", path: str | Path | None = None):
    """Return an object whose ``search`` finds the best of candidates by inner product.

    Args:
        vectors: the candidates [C, D]; row 0 is PAD.
        kind: ``float32`` and ``int8`` find the same; ``index`` is faster still and may miss some.
        path: file of the index, for ``index`` alone; None to build it in memory.

    Raises:
        ConfigError: the kind is unknown, or a path is given for a kind without a file.
        DataError: a vector is not finite, or the index is not of these vectors.
        DependencyError: a package is missing.
    """
    if kind not in KINDS:
        raise ConfigError(f"topk_by {kind!r} is not one of {', '.join(KINDS)}")
    if path is not None and kind != "index":
        raise ConfigError(f"topk_by {kind} has no file; leave out {path} or choose index")
    if kind == "index":
        return IndexTopK(vectors, path)
    return Int8TopK(vectors) if kind == "int8" else BlockedTopK(vectors)


class BestCandidates:
    """The best candidates of histories, by item vectors where these alone make the scores, or else by all scores.

    Args:
        scores: how the model scores candidates.
        topk_by: one of ``KINDS``.
        index_file: file of the index, read if it exists or else written; None to build it in memory.
        before: the best of fewer candidates, the first of these, whose work need not be done again.

    Raises:
        ConfigError: the kind is unknown, or is not float32 while the model's scores are more than item vectors.
    """

    def __init__(
        self,
        scores: VectorScores | RowScores,
        topk_by: str = "float32",
        index_file: str | Path | None = None,
        before: "BestCandidates | None" = None,
    ):
        self.scores, self.top = scores, None
        if isinstance(scores, VectorScores) and not scores.model.adds_evidence:
            if before is not None and isinstance(before.top, BlockedTopK):
                self.top = before.top.grown(scores.candidates)
            else:
                self.top = top_items(scores.candidates, topk_by, index_file)
        elif topk_by != "float32":
            raise ConfigError(
                f"topk_by {topk_by} needs a model whose scores are products with item vectors alone; this one has "
                "evidence or is one of RecBole's models: leave topk_by out"
            )

    @torch.no_grad()
    def recall(self, topk: int = 10, count: int = 200) -> float | None:
        """Return which share of the best an index finds for histories of one item each; None without an index.

        Args:
            topk: number of candidates per history.
            count: number of histories, spread over all candidates.
        """
        if not isinstance(self.top, IndexTopK):
            return None
        total = len(self.scores.candidates)
        rows = torch.arange(1, total, max(1, (total - 1) // count), device=self.scores.candidates.device)[:, None]
        queries = self.scores.queries(rows, torch.ones_like(rows[:, 0]))
        found, exact = (top.search(queries, topk).rows for top in (self.top, self.top.exact))
        return float((exact.unsqueeze(2) == found.unsqueeze(1)).any(dim=2).float().mean())

    def __call__(
        self,
        item_seq: Tensor,
        lengths: Tensor,
        topk: int,
        excluded: list[Tensor],
        left_out: Tensor | None = None,
        *more,
    ) -> Best:
        """Return the best ``min(topk, C)`` candidates of each history.

        Args:
            item_seq: rows of the candidates [B, L], left-aligned and padded with 0 on the right.
            lengths: number of items of each history [B].
            topk: number of candidates per history.
            excluded: for each history the rows that are left out; rows of C and above are ignored.
            left_out: rows that are left out for all histories.
            more: further arguments of the scores.
        """
        if self.top is None:
            return dense_best(self.scores(item_seq, lengths, *more), topk, excluded, left_out)
        return self.top.search(self.scores.queries(item_seq, lengths, *more), topk, excluded, left_out)


def dense_best(scores_BC: Tensor, topk: int, excluded: list[Tensor], left_out: Tensor | None = None) -> Best:
    """Return the best candidates by all scores, which are overwritten; of equal scores the lower row comes first."""
    scores_BC[:, 0] = -torch.inf
    for row, rows in enumerate(excluded):
        scores_BC[row, rows[rows < scores_BC.shape[1]].to(scores_BC.device)] = -torch.inf
    if left_out is not None:
        scores_BC[:, left_out.to(scores_BC.device)] = -torch.inf
    if scores_BC.isnan().any():
        raise DataError("a score is not a number; the model has diverged")
    topk = min(topk, scores_BC.shape[1])
    # topk leaves the order of equal scores open, so all that tie with the last one are sorted by row too.
    best = scores_BC.topk(topk, dim=1)
    ties = int(((scores_BC >= best.values[:, -1:]) & (scores_BC > -torch.inf)).sum(dim=1).max())
    best = best if ties <= topk else scores_BC.topk(ties, dim=1)
    rows = best.indices.sort(dim=1).values
    scores = scores_BC.gather(1, rows)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :topk]
    rows, scores = rows.gather(1, order), scores.gather(1, order)
    return Best(rows.masked_fill(scores == -torch.inf, 0), scores)
