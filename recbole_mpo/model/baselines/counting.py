"""Recommenders that count and need no training: popularity, co-visits, and the nearest item texts.

A trained model should be better than these. They use training rows only.

Shapes: B rows, K newest items of a history, N items (column 0 is PAD), F feature.
"""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from recbole_mpo.data.training_counts import counts_hash, training_popularity, training_transitions
from recbole_mpo.layers.item_memory import newest_items
from recbole_mpo.layers.losses import unit
from recbole_mpo.model.abstract_recommender import FullRankingRecommender

# Weights of co-visits are at least some hundredths, so that popularity decides only between equal scores.
TIE_BREAK = 1e-3


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
        items, weights = (part.cpu().numpy() for part in self._recent(interaction))
        rows = np.repeat(np.arange(len(items)), items.shape[1])
        shape = (len(items), self.n_items)
        recent = sparse.coo_matrix((weights.ravel(), (rows, items.ravel())), shape=shape).tocsr()
        return torch.from_numpy((recent @ self.counts).toarray()).to(self.popularity.device) + self.tie_break


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
