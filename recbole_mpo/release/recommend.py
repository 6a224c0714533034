"""Recommend items for histories of item tokens, from a checkpoint.

If the model needs only text, items that have text but no interactions can be recommended and be part of a history.

Shapes: N items with interactions (row 0 is PAD), C candidates, F feature, B histories.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.model.recbole_evidence import LateEvidence
from recbole_mpo.quick_start.experiment import Experiment
from recbole_mpo.release.answers import Recommended, listing
from recbole_mpo.release.candidate_scores import NewRows, RowScores, VectorScores
from recbole_mpo.release.candidates import Candidates
from recbole_mpo.release.explanation import explained
from recbole_mpo.release.hub import local_folder, push
from recbole_mpo.release.model_folder import write_folder
from recbole_mpo.release.new_items import NewText, NewTextEncoder, check_new, no_new_texts
from recbole_mpo.release.origin import Origin
from recbole_mpo.release.ranked_histories import best_after, padded
from recbole_mpo.release.recommender_parts import check_settings, content_of, parts_of_experiment, parts_of_folder

# Histories that are read at once: their states take more memory than their scores if the candidates are few.
MOST_HISTORIES = 1024


class Recommender:
    """Recommends items for histories of item tokens.

    ``recommend``, ``explain`` and ``search`` may run in several threads at once, also together with ``add_items``: each
    call sees all items of an addition or none, and additions wait for each other. New texts are encoded one call at a
    time. The model is in evaluation mode and is not changed.

    Args:
        model: a trained model with item vectors, or RecBole's; it is set to evaluation mode.
        candidates: the items that it ranks.
        encoder: encodes new texts; None if the model does not score them.
        origin: describes where the model comes from; None if it cannot be saved.
        topk_by: how the best are found, one of ``top_items.KINDS``.
        index_file: file of the index, for ``topk_by`` index: read if it exists, or else written.

    Raises:
        ConfigError: ``topk_by`` is unknown, or not possible with the model.
        DataError: the index is of other items, or damaged.
        DependencyError: ``topk_by`` needs a package that is missing.
    """

    def __init__(
        self,
        model: ItemVectorRecommender | LateEvidence,
        candidates: Candidates,
        encoder: NewTextEncoder | None = None,
        origin: Callable[[], Origin] | None = None,
        topk_by: str = "float32",
        index_file: str | Path | None = None,
    ):
        self.model = model.eval()
        self._now = replace(candidates, topk_by=topk_by, index_file=index_file)
        self._now.best  # noqa: B018 - what is not possible is said before the first question
        self._encoder, self._origin = encoder, origin
        self._padded = partial(padded, longest=model.max_seq_length, device=model.device)
        self._adding = threading.Lock()

    @property
    def tokens(self) -> list[str]:
        """Tokens of the candidates [C]; ``tokens[0]`` is PAD."""
        return self._now.tokens

    @property
    def titles(self) -> dict[str, str]:
        """Texts by token; items without text have none."""
        return self._now.titles

    @property
    def row_of(self) -> dict[str, int]:
        """Row of each candidate's token."""
        return self._now.row_of

    @property
    def scores(self) -> VectorScores | RowScores:
        """What scores all candidates."""
        return self._now.scores

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, overrides: dict | None = None, topk_by: str = "float32", index_file=None
    ) -> "Recommender":
        """Return a recommender with the model, item tokens and texts of a checkpoint.

        Args:
            path: file of the checkpoint.
            overrides: settings that override those of the checkpoint.
            topk_by, index_file: as for the class.

        Raises:
            CheckpointError: the checkpoint is missing, damaged or without settings, or was trained on other data.
            DataError: the dataset cannot be read, or the model cannot recommend (such as those that count).
        """
        settings = {"show_progress": False, **(overrides or {})}
        # A shop edits its titles, and recommends with the model that it has.
        experiment, model, _ = Experiment.from_checkpoint(path, settings, allows_edits=True, check=check_settings)
        # A record has the figures of the best epoch.
        record = Path(path).with_name("record.json") if Path(path).name == "best.pth" else None
        return cls.of(experiment, model, record, topk_by, index_file)

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        model: ItemVectorRecommender | LateEvidence,
        record: Path | None = None,
        topk_by: str = "float32",
        index_file: str | Path | None = None,
    ) -> "Recommender":
        """Return a recommender for a model of an experiment.

        MPO and LoRA layers are merged: the recommender's model is then a dense one that computes the same.

        Args:
            experiment: the experiment.
            model: its trained model.
            record: file of the run's record, for the card of a model folder.
            topk_by, index_file: as for the class.

        Raises:
            DataError: the model cannot recommend (such as those that count).
        """
        return cls(*parts_of_experiment(experiment, model, record), topk_by, index_file)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        revision: str | None = None,
        encoders: Sequence | None = None,
        topk_by: str = "float32",
        index_file: str | Path | None = None,
    ) -> "Recommender":
        """Return the recommender of a model folder; no dataset is needed, and nothing in the folder is executed.

        Args:
            name: a folder that ``recbole-mpo export`` or :meth:`save_pretrained` wrote, or that of a variant of
                ``compress``; or else the name of one on the Hugging Face hub.
            revision: branch, tag or commit on the hub.
            encoders: text encoders for new texts, where those that the settings name cannot be found by name.
            topk_by, index_file: as for the class.

        Raises:
            CheckpointError: the folder does not exist, is damaged, or has a newer format.
            DependencyError: the folder is on the hub, and huggingface_hub is missing.
        """
        return cls(*parts_of_folder(local_folder(name, revision), encoders), topk_by, index_file)

    def save_pretrained(self, path: str | Path):
        """Write the model and all candidates as a folder for :meth:`from_pretrained`.

        Args:
            path: the folder, which is made; one that was written like this is replaced.

        Raises:
            CheckpointError: the model has no folder, or something else is in its place, or it cannot be written.
        """
        write_folder(content_of(self.model, self._now, self._origin), path)

    def push_to_hub(self, repo_id: str, private: bool | None = None, token: str | None = None, api=None) -> str:
        """Upload the folder of :meth:`save_pretrained` to the Hugging Face hub; return what the client answers.

        Args:
            repo_id: name on the hub, such as ``owner/model``; it is made if it is not there.
            private: whether a new repository is private; the owner's default when left out.
            token: access token; that of the hub's own log-in when left out.
            api: client to use instead of ``huggingface_hub.HfApi``.

        Raises:
            CheckpointError: the model has no folder.
            DependencyError: huggingface_hub is missing.
        """
        return push(self.save_pretrained, repo_id, private, token, api)

    @torch.no_grad()
    def recommend(
        self,
        histories: list[list[str | NewText]],
        topk: int = 10,
        exclude: Sequence[str] = (),
        among: Sequence[str] | None = None,
    ) -> list[list[Recommended]]:
        """Return the best candidates for each history, best first, without the items of the history.

        Args:
            histories: B histories, oldest item first; an item is a token, or the text of one that is not a candidate.
            topk: number of items to recommend per history.
            exclude: tokens that are never recommended; unknown ones are ignored.
            among: tokens of which alone are recommended; unknown ones are ignored, if one is known.

        Raises:
            ConfigError: ``topk`` is below 1.
            DataError: a history is empty or has an unknown token, which the message names; or it has a text that the
                model cannot use.
            DependencyError: a text is to be encoded, and the encoder's package is missing.
        """
        if topk < 1:
            raise ConfigError(f"topk must be at least 1, not {topk}")
        now = self._now
        rows, new = self._read(now, histories)
        left_out = torch.from_numpy(now.left_out(exclude, among)).to(self.model.device)
        step = now.histories_at_once(MOST_HISTORIES)
        results = []
        for begin in range(0, len(rows), step):
            several = rows[begin : begin + step]
            results += best_after(now, several, self._padded(several), new, left_out, topk)
        return results

    def explain(self, history: list[str | NewText], tokens: list[str]) -> list[dict[str, float]]:
        """Return the parts of the scores of some candidates after a history, which sum to the scores.

        ``text`` is the part of the item's text, ``ids`` that of ids and biases if the model has any. Each kind of
        evidence has a part of its own, and ``repeats`` is that of items which the history has. What ids do to the state
        of a history has no part.

        Args:
            history: tokens and texts, oldest first.
            tokens: the candidates.

        Raises:
            DataError: the history is empty, a token is unknown, or the model is RecBole's, whose scores have no parts.
        """
        return self.explain_each([history], [tokens])[0]

    @torch.no_grad()
    def explain_each(
        self, histories: list[list[str | NewText]], tokens: list[list[str]]
    ) -> list[list[dict[str, float]]]:
        """Return what :meth:`explain` returns for each of several histories and its candidates, computed together."""
        now = self._now
        rows, new = self._read(now, histories)
        return explained(now, self.model, rows, self._padded, tokens, new)

    def index_recall(self) -> float | None:
        """Return which share of the best ten the index finds for histories of one item; None without an index."""
        return self._now.best.recall()

    def as_of_now(self) -> "Recommender":
        """Return a recommender that does not see items that are added to this one later: several answers then agree."""
        return copy.copy(self)

    def titled(self, part: str, among: Sequence[str] | None = None) -> list[str]:
        """Return the tokens of the candidates whose titles contain a text, capitals aside, in their order.

        Args:
            part: the text.
            among: tokens of which alone are returned; None for all.
        """
        return self._now.search.titled(part, among)

    def add_items(self, items: Mapping[str, str]):
        """Add candidates, which can be recommended and be in histories at once.

        Their texts are encoded as those of the run, and their words compared with those of all candidates.

        Args:
            items: texts by token.

        Raises:
            DataError: a token is known, or a text has no letter or digit; or the model needs ids.
            DependencyError: the encoder's package is missing.
        """
        with self._adding:
            now, encoder = self._now, self._needed_encoder()
            check_new(items, now.row_of)
            if items:
                # A failure leaves all as it was.
                self._now = now.with_more(dict(items), encoder.vectors([*items.values()]), self.model)

    def search(self, query: str, limit: int = 20) -> list[tuple[str, str]]:
        """Return tokens and titles of the candidates whose titles have all words of a query, capitals aside.

        Titles that begin with the query come first, then those in which each word begins a word.

        Args:
            query, limit: words or parts of words, and the largest number of items to return.
        """
        return self._now.search.find(query, limit)

    def _needed_encoder(self) -> NewTextEncoder:
        if self._encoder is None:
            raise no_new_texts(self.model)
        return self._encoder

    def _read(self, now: Candidates, histories: list[list[str | NewText]]) -> tuple[list[np.ndarray], NewRows | None]:
        """Return the rows of histories, and the new texts among them, whose rows follow the candidates'."""
        texts = dict.fromkeys(item.text for history in histories for item in history if isinstance(item, NewText))
        row_of_text = {text: len(now.tokens) + place for place, text in enumerate(texts)}
        rows = [now.rows(history, row_of_text) for history in histories]
        if not texts:
            return rows, None
        return rows, now.new_rows([*texts], self._needed_encoder().vectors([*texts]), self.model)

    def as_text(self, history: list[str | NewText], recommended: list[Recommended], width: int = 70) -> str:
        """Return a history and its recommendations as text, one item per line.

        Args:
            history: tokens and texts, oldest first; the last five are shown.
            recommended: the recommendations.
            width: largest number of characters of a title.
        """
        return listing(self.titles, history, recommended, width)
