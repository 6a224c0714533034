"""Fits what weighs the evidence to a trained model, whose own weights stay as they are.

The last training target of each user is predicted, from tables counted as if it had not happened yet.

Shapes: R rows, B rows of a batch, N items.
"""

import logging

import numpy as np
import torch
import torch.nn.functional as F

from recbole_mpo.layers.mpo.convert import merged
from recbole_mpo.layers.pair_evidence import Columns, Recent
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
        model: a trained model with item vectors and evidence; only the evidence is changed.
        train: training part of the dataset.
        seed: seed of the order of rows.
    """
    evidence, losses = model.evidence, []
    rows_R = np.flatnonzero(train.rows().are_last())
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
    with merged(model):
        with torch.no_grad():
            item_vectors = model.encode_items()
            candidates = model.candidates(item_vectors)
        for _ in range(EPOCHS):
            rows_R, total = draw.permutation(rows_R), 0.0
            for begin in range(0, len(rows_R), size):
                batch = train[rows_R[begin : begin + size]].to(model.device)
                loss = _loss(model, item_vectors, candidates, batch)
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


def _loss(model, item_vectors, candidates, batch) -> torch.Tensor:
    """Return the mean cross-entropy of the targets of RecBole's rows, with PAD left out."""
    with torch.no_grad():
        logits_BN = model.queries(model.encode_histories(item_vectors, batch)) @ candidates.t()
        logits_BN[:, 0] = -torch.inf
    recent = Recent.of(batch[model.ITEM_SEQ], batch[model.ITEM_SEQ_LEN], batch[model.USER_ID])
    with torch.enable_grad():  # merged weights are held without
        logits_BN = model.evidence(recent, Columns(model.n_items)).add_to(logits_BN)
        return F.cross_entropy(logits_BN, batch[model.ITEM_ID])
