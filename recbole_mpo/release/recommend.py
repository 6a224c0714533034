"""Recommend items for histories of item tokens, from a checkpoint.

If the model needs only text, items that have text but no interactions can be recommended and be part of a history.

Shapes: N items with interactions (row 0 is PAD), C candidates, F feature, B histories.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.errors import DataError
from recbole_mpo.common.terminal import one_line
from recbole_mpo.common.values import shown, suggestion
from recbole_mpo.data.sequences import gather_padded
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.model.evidence import know_words_of
from recbole_mpo.model.recbole_evidence import LateEvidence
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release.candidate_scores import RowScores, VectorScores
from recbole_mpo.release.top_items import BestCandidates
from recbole_mpo.text.item_features import text_path
from recbole_mpo.text.item_text import read_dataset_text
from recbole_mpo.trainer.ranking import rows_per_batch


@dataclass(frozen=True)
class Recommended:
    """One recommended item.

    Attributes:
        token: token of the item, as in the data.
        score: logit of the model.
        title: text of the item; empty if unknown.
    """

    token: str
    score: float
    title: str


class Recommender:
    """Recommends items for histories of item tokens.

    Args:
        model: a trained model with item vectors, or RecBole's; it is set to evaluation mode.
        tokens: tokens of the candidates [C]; ``tokens[0]`` is PAD.
        titles: texts by token.
        extra_features: features [C - N, F] of the items that have only text.
        topk_by: how the best are found, one of ``top_items.KINDS``.

    Raises:
        ConfigError: ``topk_by`` is unknown, or not possible with the model.
        DependencyError: ``topk_by`` needs a package that is missing.
    """

    def __init__(
        self,
        model: ItemVectorRecommender | LateEvidence,
        tokens: Iterable[str],
        titles: dict[str, str],
        extra_features: torch.Tensor | None = None,
        topk_by: str = "float32",
    ):
        self.model = model.eval()
        self.tokens = [str(token) for token in tokens]
        self.titles = titles
        self.row_of = {token: row for row, token in enumerate(self.tokens) if row > 0}
        has_vectors = isinstance(model, ItemVectorRecommender)
        self.scores = VectorScores(model, extra_features) if has_vectors else RowScores(model)
        self.best = BestCandidates(self.scores, topk_by)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, overrides: dict | None = None, topk_by: str = "float32"
    ) -> "Recommender":
        """Return a recommender with the model, item tokens and texts of a checkpoint.

        Args:
            path: file of the checkpoint.
            overrides: settings that override those of the checkpoint.
            topk_by: how the best are found, one of ``top_items.KINDS``.

        Raises:
            CheckpointError: the checkpoint is missing, damaged or without settings, or was trained on other data.
            DataError: the dataset cannot be read, or the model cannot recommend (such as those that count).
        """
        settings = {"show_progress": False, **(overrides or {})}
        # A shop edits its titles, and recommends with the model that it has.
        experiment, model, _ = Experiment.from_checkpoint(path, settings, allows_edits=True)
        return cls.of(experiment, model, topk_by)

    @classmethod
    def of(
        cls, experiment: Experiment, model: ItemVectorRecommender | LateEvidence, topk_by: str = "float32"
    ) -> "Recommender":
        """Return a recommender for a model of an experiment.

        Args:
            experiment: the experiment.
            model: its trained model.
            topk_by: how the best are found, one of ``top_items.KINDS``.

        Raises:
            DataError: the model cannot recommend (such as those that count).
        """
        if not isinstance(model, ItemVectorRecommender | LateEvidence):
            raise DataError(
                "recommend works with this package's text models and RecBole's models that score all items, but this "
                f"is a {experiment.spec.name}"
            )
        if experiment.config["domains"]:
            raise DataError(
                f"this checkpoint was pre-trained on several datasets ({experiment.config['dataset']}); adapt it to "
                "one with run --pretrained, and recommend with that run's best.pth"
            )
        if experiment.config["user_profile"]:
            raise DataError(f"this checkpoint predicts {experiment.config['user_profile']} of users, not items")
        dataset = experiment.data.dataset
        tokens, extra = list(model.item_tokens), None
        # Items without usable text, whose features are all zero, are left out.
        if model.uses_text and model.scores_text_alone:
            features = dataset.features
            extra = torch.from_numpy(features.text_only_features).to(experiment.config["device"])
            tokens += [features.item_text.tokens[row] for row in features.text_only]
            others = [features.item_text.texts[row] for row in features.text_only]
            know_words_of(others, model, dataset, experiment.config)
        return cls(model, tokens, _titles(experiment.config), extra, topk_by)

    @torch.no_grad()
    def recommend(self, histories: list[list[str]], topk: int = 10) -> list[list[Recommended]]:
        """Return the best candidates for each history, best first, without the items of the history.

        Args:
            histories: item tokens of B histories, oldest first.
            topk: number of items to recommend per history.

        Raises:
            DataError: a history is empty or has an unknown token, which the message names.
        """
        rows = [self._rows(history) for history in histories]
        step = rows_per_batch(len(rows), len(self.tokens))
        results = []
        for begin in range(0, len(rows), step):
            results += self._best(rows[begin : begin + step], topk)
        return results

    def _rows(self, history: list[str]) -> np.ndarray:
        if not history:
            raise DataError("a history needs at least one item")
        unknown = [token for token in history if token not in self.row_of]
        if unknown:
            raise DataError(
                f"unknown item {', '.join(map(shown, unknown[:5]))}{', …' if len(unknown) > 5 else ''}"
                f"{suggestion(unknown[0], self.row_of)}: it must be in the interactions or, if the model needs only "
                "text, in the item text"
            )
        return np.array([self.row_of[token] for token in history])

    def _best(self, histories: list[np.ndarray], topk: int) -> list[list[Recommended]]:
        newest = [history[-self.model.max_seq_length :] for history in histories]
        lengths = np.array([len(history) for history in newest])
        flat = np.concatenate(newest)
        padded = gather_padded(flat, np.cumsum(lengths) - lengths, lengths)
        device = self.model.device
        item_seq, lengths = torch.from_numpy(padded).to(device), torch.from_numpy(lengths).to(device)
        best = self.best(item_seq, lengths, topk, [torch.from_numpy(history) for history in histories])
        return [
            [self._recommended(item, score) for item, score in zip(items, values, strict=True) if np.isfinite(score)]
            for items, values in zip(best.rows.tolist(), best.scores.tolist(), strict=True)
        ]

    def _recommended(self, row: int, score: float) -> Recommended:
        token = self.tokens[row]
        return Recommended(token, score, self.titles.get(token, ""))

    def as_text(self, history: list[str], recommended: list[Recommended], width: int = 70) -> str:
        """Return a history and its recommendations as text, one item per line.

        Args:
            history: item tokens, oldest first; the last five are shown.
            recommended: the recommendations.
            width: largest number of characters of a title.
        """
        last = [(token, self.titles.get(token, "")) for token in history[-5:]]
        rows = [("", token, title) for token, title in last]
        rows += [(f"{item.score:6.2f}", item.token, item.title) for item in recommended]
        rows = [(score, one_line(token), _cut(one_line(title), width)) for score, token, title in rows]
        longest = max((len(token) for _, token, _ in rows), default=0)
        lines = [f"  {score:6}  {token:>{longest}}  {title}" for score, token, title in rows]
        begin = f"after {len(history)} items, the last ones:"
        return "\n".join([begin, *lines[: len(last)], "recommended:", *lines[len(last) :]])


def _cut(title: str, width: int) -> str:
    return title if len(title) <= width else f"{title[: width - 1]}…"


def _titles(config) -> dict[str, str]:
    path = text_path(config)
    if not path.is_file():
        return {}
    item_text = read_dataset_text(path)
    return dict(zip(item_text.tokens, item_text.texts, strict=True))
