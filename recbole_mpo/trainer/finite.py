"""Stops what has blown up: a loss, weights or scores that are infinite or not a number.

Shapes: B rows, N items (column 0 is PAD).
"""

from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import RecboleMPOError

ADVICE = "training has blown up: start a new run with a lower learning_rate or with clip_grad_norm"


def check_loss(loss: Tensor, epoch: int):
    """Check that the loss of a step is finite.

    Args:
        loss: the loss [].
        epoch: number of the epoch, for the message.

    Raises:
        RecboleMPOError: it is infinite or not a number.
    """
    if not torch.isfinite(loss):
        raise RecboleMPOError(f"the training loss is {loss.item()} in epoch {epoch}; {ADVICE}")


@contextmanager
def finite_steps(epoch: int):
    """Turn the error of an optimizer whose step is too large for a float into one of this package.

    Args:
        epoch: number of the epoch, for the message.

    Raises:
        RecboleMPOError: a step of the optimizer in this block is too large.
    """
    try:
        yield
    except RuntimeError as problem:
        if "cannot be converted to type float without overflow" not in str(problem):
            raise
        raise RecboleMPOError(f"a step of the optimizer is not finite in epoch {epoch}; {ADVICE}") from problem


def check_weights(model: nn.Module, epoch: int):
    """Check that all parameters of a model are finite after an epoch.

    Raises:
        RecboleMPOError: some are infinite or not a number; the message names the first.
    """
    names = names_not_finite(dict(model.named_parameters()))
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise RecboleMPOError(f"the weights {names[0]}{more} are not finite after epoch {epoch}; {ADVICE}")


def names_not_finite(weights: dict[str, Tensor]) -> list[str]:
    """Return the names of the weights that hold an infinite value or one that is not a number."""
    return [name for name, weight in weights.items() if not _is_finite(weight)]


@torch.no_grad()
def _is_finite(weight: Tensor) -> bool:
    if weight.numel() == 0 or not (weight.is_floating_point() or weight.is_complex()):
        return True
    # The largest magnitude is NaN where a value is; unlike isfinite() it needs no second tensor of this size.
    return bool(torch.linalg.vector_norm(weight, torch.inf).isfinite())


def check_scores(scores_BN: Tensor):
    """Check that scores can be ranked; -inf is allowed, as the score of what is not a candidate.

    Raises:
        RecboleMPOError: a score is +inf or not a number.
    """
    # The largest score is NaN where a score is.
    if scores_BN.numel() and not scores_BN.amax(dim=-1).amax() < torch.inf:
        raise RecboleMPOError(
            "the model gives scores that are infinite or not a number, which cannot be ranked: its weights have blown "
            "up; train again with a lower learning_rate or with clip_grad_norm"
        )
