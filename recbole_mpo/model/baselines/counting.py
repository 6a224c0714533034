"""Recommenders that count and do not train: popularity, co-visits, and the nearest item texts.

What a trained model has to beat. All they know is taken from the training rows.

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

# Co-visits are sums of weights of at least some hundredths; popularity decides between equal ones alone.
TIE_BREAK = 1e-3


class CountingRecommender(FullRankingRecommender):
    """A model without parameters that knows its training part from the start."""

    needs_packed = True
    item_inputs: tuple[str, ...] = ("id",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        counts = training_popularity(dataset)
        self.counts_hash = counts_hash(counts)
        self.register_buffer("popularity", torch.from_numpy(counts).double(), persistent=False)

    def calculate_loss(self, interaction):
        """There is none."""
        raise NotImplementedError(f"{type(self).__name__} counts; there is nothing to train")


class RecentItemsRecommender(CountingRecommender):
    """Scores from the newest items of a history, the k-th last with the k-th of ``recent_weights``."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        weights = torch.tensor(config["recent_weights"], dtype=torch.float64)
        self.register_buffer("recent_weights", weights, persistent=False)

    def _recent(self, interaction) -> tuple[Tensor, Tensor]:
        """Return the newest items [B, K], the last one first, and their weights; 0 where a history is shorter."""
        histories = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        items, exists = newest_items(*histories, len(self.recent_weights))
        return items, self.recent_weights * exists


class Pop(CountingRecommender):
    """Every user gets the items that stand most often in the training histories."""

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N]."""
        return self.popularity.repeat(len(interaction[self.ITEM_SEQ_LEN]), 1)


class CoVisit(RecentItemsRecommender):
    """Items that stood beside the newest ones in training histories: ``sum_k w_k C[x_k, j]``, x_k the k-th last item.

    With ``covisit_symmetric`` C counts neighbours in both directions, else followers alone. Popularity breaks ties.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        counts = training_transitions(dataset)
        self.counts = (counts + counts.T).tocsr() if config["covisit_symmetric"] else counts
        self.counts_hash = counts_hash(self.counts)
        tie_break = self.popularity * (TIE_BREAK / (1.0 + self.popularity.max()))
        self.register_buffer("tie_break", tie_break, persistent=False)

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N]."""
        items, weights = (part.cpu().numpy() for part in self._recent(interaction))
        rows = np.repeat(np.arange(len(items)), items.shape[1])
        shape = (len(items), self.n_items)
        recent = sparse.coo_matrix((weights.ravel(), (rows, items.ravel())), shape=shape).tocsr()
        return torch.from_numpy((recent @ self.counts).toarray()).to(self.popularity.device) + self.tie_break


class TextKNN(RecentItemsRecommender):
    """Items whose texts are like those of the newest: ``sum_k w_k cos(f(x_k), f(j))``, of an item to itself 0.

    Features are centred, as those of the text models; an item without text scores 0.
    """

    item_inputs = ("text",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.register_buffer("features", unit(dataset.item_features()), persistent=False)
        self.feature_hash = dataset.feature_hash

    def full_sort_predict(self, interaction) -> Tensor:
        """Return the scores [B, N]."""
        items, weights = self._recent(interaction)
        weights = weights.to(self.features.dtype)
        recent = (weights.unsqueeze(2) * self.features[items]).sum(dim=1)
        scores = recent @ self.features.t()
        itself = weights * self.features.square().sum(dim=1)[items]
        return scores.scatter_add_(1, items, -itself)
