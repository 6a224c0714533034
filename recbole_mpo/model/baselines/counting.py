"""Recommenders that count and need no training: popularity, co-visits, nearest item texts, and counts with words.

A trained model should be better than these. They use training rows only.

Shapes: B rows, K newest items of a history, N items (column 0 is PAD), F feature.
"""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list
from recbole_mpo.data.catalogue import hash_items
from recbole_mpo.data.pair_tables import two_steps
from recbole_mpo.data.training_counts import counts_hash, training_pairs, training_popularity, training_transitions
from recbole_mpo.layers.losses import unit
from recbole_mpo.layers.pair_evidence import newest_items
from recbole_mpo.model.abstract_recommender import FullRankingRecommender
from recbole_mpo.model.evidence import START
from recbole_mpo.text.words import WordVectors

# Weights of co-visits are at least some hundredths, so that popularity decides only between equal scores.
TIE_BREAK = 1e-3
# Logarithms of counts with words come closer to each other.
FINE_TIE_BREAK = 1e-6
# What CountText reads where no setting says otherwise.
USUAL_KINDS = {"covisit", "words"}


class CountingRecommender(FullRankingRecommender):
    """Base of models without parameters, which count training rows when they are built.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    needs_packed = True
    reads: tuple[str, ...] = ("interactions",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        counts = training_popularity(dataset)
        self.counts_hash = counts_hash(counts)
        self.register_buffer("popularity", torch.from_numpy(counts).double(), persistent=False)

    def calculate_loss(self, interaction):
        """Refuse to compute a loss: the model has no parameters.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{type(self).__name__} only counts; it has no parameters to train")


class RecentItemsRecommender(CountingRecommender):
    """Base of models that score from the newest items of a history, each with its weight of ``recent_weights``."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        weights = torch.tensor(config["recent_weights"], dtype=torch.float64)
        self.register_buffer("recent_weights", weights, persistent=False)

    def _recent(self, interaction) -> tuple[Tensor, Tensor]:
        """Return the newest items [B, K], the last one first, and their weights; 0 if a history is shorter."""
        histories = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        items, exists = newest_items(*histories, len(self.recent_weights))
        return items, self.recent_weights * exists

    def _recent_matrix(self, interaction) -> sparse.csr_matrix:
        """Return the weights of the newest items, [B, N]; those of an item that occurs twice add up."""
        items, weights = (part.cpu().numpy() for part in self._recent(interaction))
        rows = np.repeat(np.arange(len(items)), items.shape[1])
        shape = (len(items), self.n_items)
        return sparse.coo_matrix((weights.ravel(), (rows, items.ravel())), shape=shape).tocsr()


class Pop(CountingRecommender):
    """Popularity: an item's score is the number of times it occurs in the training histories.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items for a batch of RecBole's rows."""
        return self.popularity.repeat(len(interaction[self.ITEM_SEQ_LEN]), 1)


class CoVisit(RecentItemsRecommender):
    """Co-visits: the score of item j is ``sum_k w_k C[x_k, j]``, where x_k is the k-th last item of the history.

    C counts pairs of neighbouring items in training histories: with ``covisit_symmetric`` in both directions, else only
    where j follows x. Popularity breaks ties.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        counts = training_transitions(dataset)
        self.counts = (counts + counts.T).tocsr() if config["covisit_symmetric"] else counts
        self.counts_hash = counts_hash(self.counts)
        tie_break = self.popularity * (TIE_BREAK / (1.0 + self.popularity.max()))
        self.register_buffer("tie_break", tie_break, persistent=False)

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items for a batch of RecBole's rows."""
        counts = (self._recent_matrix(interaction) @ self.counts).toarray()
        return torch.from_numpy(counts).to(self.popularity.device) + self.tie_break


class TextKNN(RecentItemsRecommender):
    """Nearest texts: the score of item j is ``sum_k w_k cos(f(x_k), f(j))``, where x_k is the k-th last item.

    f are the text features, centred as for the text models. The cosine of an item with itself counts as 0, and an item
    without text scores 0.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.
    """

    reads = ("interactions", "text")

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.register_buffer("features", unit(dataset.item_features()), persistent=False)
        self.describe_features(dataset)

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items for a batch of RecBole's rows."""
        items, weights = self._recent(interaction)
        weights = weights.to(self.features.dtype)
        recent = (weights.unsqueeze(2) * self.features[items]).sum(dim=1)
        scores = recent @ self.features.t()
        itself = weights * self.features.square().sum(dim=1)[items]
        return scores.scatter_add_(1, items, -itself)


class CountText(RecentItemsRecommender):
    """Counts and words: ``log(1 + sum_k w_k C[x_k, j]) + 2 sum_k w_k cos(x_k, j)``, x_k the k-th last item.

    C counts neighbours in training histories, in both directions. cos compares TF-IDF vectors of words and bigrams, and
    is 0 between an item and itself. With ``two_hop`` in ``evidence``, ``log(1 + 50 sum_k w_k Q[x_k, j]) / 2`` is added,
    where Q are the probabilities of walks of two steps over C. Popularity breaks ties. Everything is exact, in float64.

    Args:
        config: settings of the run.
        dataset: training part of the run's dataset.

    Raises:
        ConfigError: ``evidence`` is empty, or names a kind twice.
    """

    reads = ("interactions", "text")

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.kinds = as_list(config["evidence"])
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ConfigError("CountText scores by evidence: give covisit, words or two_hop, each at most once")
        counts = training_pairs(dataset, config["evidence_window"]).neighbours(self.n_items)
        self.tables = {"covisit": counts, "two_hop": two_steps(counts) if "two_hop" in self.kinds else None}
        self.counts_hash = counts_hash(counts)
        if "words" in self.kinds:
            texts = dataset.item_texts()
            self.words = WordVectors(texts).of(texts)
            self.counts_hash += f" {hash_items(texts)}"
            self.items_of_words = self.words.T.tocsr()
        tie_break = self.popularity * (FINE_TIE_BREAK / self.popularity.max().clamp(min=1.0))
        self.register_buffer("tie_break", tie_break, persistent=False)

    @classmethod
    def label(cls, name: str, config) -> str:
        """Return the name of a run in tables, with the evidence and the window if they are not the usual."""
        kinds, window = as_list(config["evidence"]), config["evidence_window"]
        unusual = [*(kinds if {*kinds} != USUAL_KINDS else ()), *([f"window {window}"] if window > 1 else ())]
        return f"{name} ({', '.join(unusual)})" if unusual else name

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N] of all items for a batch of RecBole's rows."""
        recent = self._recent_matrix(interaction)
        scores = np.zeros((recent.shape[0], self.n_items))
        for kind in self.kinds:
            weight, factor = START[kind]
            if kind == "words":
                scores += weight * self._shared_words(recent)
            else:
                scores += weight * np.log1p(factor * (recent @ self.tables[kind]).toarray())
        return torch.from_numpy(scores).to(self.popularity.device) + self.tie_break

    def _shared_words(self, recent: sparse.csr_matrix) -> np.ndarray:
        """Return the weighted cosines [B, N] of the newest items and all items, without those of an item and itself."""
        itself = recent.multiply(np.asarray(self.words.multiply(self.words).sum(axis=1)).T)
        return ((recent @ self.words) @ self.items_of_words - itself).toarray()
