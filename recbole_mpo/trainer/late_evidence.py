"""Fits what weighs the evidence to a trained model, whose own weights stay as they are.

The last training target of each user is predicted, from tables counted as if it had not happened yet.

Shapes: R rows, B rows of a batch, N items.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_mpo.data.flat_histories import FlatHistories
from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.layers.pair_evidence import Columns, Recent
from recbole_mpo.model.abstract_recommender import ItemVectorRecommender
from recbole_mpo.trainer import checkpoint
from recbole_mpo.trainer.ranking import rows_per_batch

logger = logging.getLogger(__name__)

EPOCHS = 4
BATCH_SIZE = 256
LEARNING_RATE = 0.05
# A few dozen numbers need no more rows.
MOST_ROWS = 20_000


def fit_evidence(model, train, seed: int) -> list[float]:
    """Fit the weights of a model's evidence by Adam with a falling rate; return the mean loss of each epoch.

    Args:
        model: a trained model with evidence, which alone is changed: one with item vectors, or RecBole's.
        train: training part of the dataset.
        seed: seed of the order of rows.
    """
    evidence, losses = model.evidence, []
    has_vectors = isinstance(model, ItemVectorRecommender)
    rows_R = np.flatnonzero((train if has_vectors else FlatHistories(train)).rows().are_last())
    draw = np.random.default_rng(seed)
    rows_R = draw.permutation(rows_R)[:MOST_ROWS]
    size = rows_per_batch(BATCH_SIZE, model.n_items)
    steps = EPOCHS * -(-len(rows_R) // size)
    # Again from the start: a run that was interrupted since may have fitted it before.
    evidence.reset()
    evidence.requires_grad_(True)
    optimizer = torch.optim.Adam(evidence.parameters(), lr=LEARNING_RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.eval()
    with _scores_by_vectors(model) if has_vectors else nullcontext(model.scores_alone) as score:
        for _ in range(EPOCHS):
            rows_R, total = draw.permutation(rows_R), 0.0
            for begin in range(0, len(rows_R), size):
                batch = train[rows_R[begin : begin + size]].to(model.device)
                loss = _loss(model, score, batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                falling.step()
                total += loss.item() * len(batch)
            losses.append(total / len(rows_R))
    evidence.requires_grad_(False)
    evidence.is_fitted.fill_(True)
    logger.info("evidence fitted to %d users: loss %.4f to %.4f", len(rows_R), losses[0], losses[-1])
    return losses


@contextmanager
@torch.no_grad()
def _scores_by_vectors(model) -> Iterator[Callable]:
    """Yield a function from a batch of RecBole's rows to a model's scores [B, N] without evidence."""
    with merged(model):
        item_vectors = model.encode_items()
        candidates = model.candidates(item_vectors)
        yield lambda batch: model.queries(model.encode_histories(item_vectors, batch)) @ candidates.t()


def _loss(model, score: Callable, batch) -> Tensor:
    """Return the mean cross-entropy of the targets of RecBole's rows, with PAD left out."""
    with torch.no_grad():
        logits_BN = score(batch)
        logits_BN[:, 0] = -torch.inf
    recent = Recent.of(batch[model.ITEM_SEQ], batch[model.ITEM_SEQ_LEN], batch[model.USER_ID])
    with torch.enable_grad():  # merged weights are held without
        logits_BN = model.evidence(recent, Columns(logits_BN.shape[1])).add_to(logits_BN)
        return F.cross_entropy(logits_BN, batch[model.ITEM_ID])


class FitsEvidence:
    """What a trainer needs to fit the evidence of its model at the end of a run."""

    def fit_evidence(self, train) -> list[float]:
        """Fit what weighs the evidence to the best weights, and keep it in their file; return the loss of each epoch.

        Args:
            train: training part of the dataset.
        """
        path = Path(self.saved_model_file)
        best = self.load(path)
        losses = fit_evidence(self.model, train, self.config["seed"])
        if self.model.ranks.is_first:
            checkpoint.save_checkpoint({**best, "state_dict": self.model.state_dict()}, path)
        self.model.ranks.wait()
        return losses
