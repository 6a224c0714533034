"""What a recommender ranks at one moment.

Shapes: C candidates (row 0 is PAD).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.values import shown, suggestion
from recbole_mpo.release.candidate_scores import NewRows, RowScores, VectorScores
from recbole_mpo.release.new_items import KnownWords, NewText
from recbole_mpo.release.title_search import TitleSearch
from recbole_mpo.release.top_items import BestCandidates
from recbole_mpo.trainer.ranking import rows_per_batch


@dataclass(frozen=True)
class Candidates:
    """Items that can be recommended, and how they are scored; it never changes, so threads may share it.

    Attributes:
        tokens: [C] tokens, PAD first.
        titles: texts by token.
        scores: the scores of all.
        words: their words, if the model has evidence of words.
        topk_by: how the best are found, one of ``top_items.KINDS``.
        index_file: file of the index of these candidates; None to build it in memory.
        grown: the best of all, if it was made of that of fewer candidates; None to make it when it is asked for.
    """

    tokens: list[str]
    titles: dict[str, str]
    scores: VectorScores | RowScores
    words: KnownWords | None = None
    topk_by: str = "float32"
    index_file: str | Path | None = None
    grown: BestCandidates | None = None

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each token; PAD has none."""
        return {token: row for row, token in enumerate(self.tokens) if row > 0}

    @cached_property
    def best(self) -> BestCandidates:
        """The best of all for histories.

        Raises:
            ConfigError: ``topk_by`` is unknown, or not possible with the model.
            DependencyError: ``topk_by`` needs a package that is missing.
        """
        return self.grown or BestCandidates(self.scores, self.topk_by, self.index_file)

    @cached_property
    def search(self) -> TitleSearch:
        """A search for titles."""
        return TitleSearch(self.tokens, self.titles)

    def histories_at_once(self, most: int) -> int:
        """Return how many histories to score at once: fewer than ``most`` only if the scores of all are held."""
        return most if self.best.top is not None else rows_per_batch(most, len(self.tokens))

    def new_rows(self, texts: Sequence[str], vectors: Tensor, model) -> NewRows:
        """Return what scores need of M new texts in histories.

        Args:
            texts: the texts.
            vectors: [M, D] their rows of ``encode_items``.
            model: the model.
        """
        if self.words is None:
            return NewRows(vectors)
        return NewRows(vectors, self.words.reading(self.scores.evidence or model.evidence, texts))

    def with_more(self, items: dict[str, str], vectors: Tensor, model) -> "Candidates":
        """Return these and more candidates.

        Args:
            items: their texts by token.
            vectors: [M, D] their rows of ``encode_items``.
            model: the model.
        """
        words, evidence = self.words, None
        if words is not None:
            words, evidence = words.with_more(self.scores.evidence or model.evidence, [*items.values()])
        scores = self.scores.with_more(vectors, evidence)
        # Made at once, so that what found the best of fewer is let go. The file of an index has no room for more.
        best = BestCandidates(scores, self.topk_by, None, self.best)
        return Candidates([*self.tokens, *items], {**self.titles, **items}, scores, words, self.topk_by, grown=best)

    def rows(self, history: Sequence[str | NewText], rows_of_texts: dict[str, int]) -> np.ndarray:
        """Return the rows of a history's items.

        Args:
            history: tokens and new texts, oldest first.
            rows_of_texts: rows of new texts, those from C on.

        Raises:
            DataError: the history is empty or has an unknown token, which the message names.
        """
        if not history:
            raise DataError("a history needs at least one item")
        self.check_known([item for item in history if not isinstance(item, NewText)])
        return np.array(
            [rows_of_texts[item.text] if isinstance(item, NewText) else self.row_of[item] for item in history]
        )

    def check_known(self, tokens: Sequence[str]):
        """Refuse unknown tokens.

        Raises:
            DataError: a token is unknown; the message names it.
        """
        unknown = [token for token in tokens if token not in self.row_of]
        if unknown:
            raise DataError(
                f"unknown item {', '.join(map(shown, unknown[:5]))}{', …' if len(unknown) > 5 else ''}"
                f"{suggestion(unknown[0], self.row_of)}: it must be in the interactions or, if the model needs only "
                "text, in the item text"
            )

    def left_out(self, exclude: Sequence[str], among: Sequence[str] | None) -> np.ndarray:
        """Return the rows that are not recommended; tokens that are unknown change nothing.

        Args:
            exclude: tokens to leave out.
            among: tokens outside of which all are left out; None for no such limit.

        Raises:
            DataError: no token of ``among`` is known, though there are some; or one of the two is a text.
        """
        for name, given in (("exclude", exclude), ("among", among)):
            if isinstance(given, str):
                raise DataError(f"{name} must be a list of tokens, not the text {shown(given)}")
        is_out = np.zeros(len(self.tokens), dtype=bool)
        if among is not None:
            kept = [self.row_of[token] for token in among if token in self.row_of]
            if among and not kept:
                self.check_known(list(among))
            is_out[:] = True
            is_out[kept] = False
        is_out[[self.row_of[token] for token in exclude if token in self.row_of]] = True
        is_out[0] = True
        return np.flatnonzero(is_out)
