"""Losses over the whole catalogue, or over a sample of it.

Shapes: M targets, N items (row 0 is PAD), D hidden, C candidates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_mpo.layers.alignment import pad_rows


def unit(vectors: Tensor) -> Tensor:
    """Rows of length one. A zero row stays zero and takes no gradient.

    ``F.normalize`` gives such a row (an item without text, while the whitening biases are zero) a gradient of the
    order of 1e12; one step of it fills Adam's second moment of every bias for the rest of the training.
    """
    return _Unit.apply(vectors)


class _Unit(torch.autograd.Function):
    """``u = v / |v|``, whose backward pass makes one array of v's size: ``(g - u (u . g)) / |v|``."""

    @staticmethod
    def forward(ctx, vectors):
        length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        inverse = torch.where(length > 0, length, torch.inf).reciprocal()
        ctx.save_for_backward(vectors, inverse)
        return vectors * inverse

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        vectors, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(gradient, vectors).unsqueeze(-1)
        return (gradient * inverse).addcmul_(vectors, along * inverse.pow(3), value=-1)


def full_cross_entropy(logits_MN: Tensor, targets_M: Tensor, mask_pad: bool = False) -> Tensor:
    """Mean cross-entropy against every item, from logits: the oracle that :func:`catalogue_cross_entropy` is tested by.

    PAD's logit stays in the sum, as in UniSRec's published code, unless ``mask_pad``.
    """
    if mask_pad:
        return F.cross_entropy(logits_MN[:, 1:], targets_M - 1)
    return F.cross_entropy(logits_MN, targets_M)


def catalogue_cross_entropy(
    states_MD: Tensor, items_ND: Tensor, targets_M: Tensor, mask_pad: bool = False, max_logits: int | None = None
) -> Tensor:
    """Mean cross-entropy of the logits ``states @ items.T``, whose gradient is computed along with the loss.

    Logits live in chunks of targets: each chunk's softmax is complete, so its gradient follows at once, no logit
    is kept for the backward pass, and none is computed twice.

    Args:
        states_MD, items_ND: whatever scales the scores (cosine, temperature) is already in them.
        targets_M: item ids.
        mask_pad: leave PAD out of the softmax.
        max_logits: logits computed at once, beside as many of their softmax; all M * N when left out.
    """
    rows = len(targets_M) if max_logits is None else min(max_logits // len(items_ND), len(targets_M))
    states_MD, items_ND = at_least_float32(states_MD), at_least_float32(items_ND)
    return _CatalogueCrossEntropy.apply(states_MD, items_ND, targets_M, mask_pad, max(1, rows))


def at_least_float32(x: Tensor) -> Tensor:
    """Sums over a catalogue need more digits than bfloat16 has, whatever made ``x``."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _CatalogueCrossEntropy(torch.autograd.Function):
    """Backward only scales what forward has computed."""

    @staticmethod
    def forward(ctx, states_MD, items_ND, targets_M, mask_pad, rows):
        with torch.autocast(states_MD.device.type, enabled=False):
            loss, *gradients = _loss_and_gradients(states_MD, items_ND, targets_M, mask_pad, rows)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):
        states_gradient, items_gradient = ctx.saved_tensors
        if scale == 1:  # no copy of what may be as large as the catalogue
            return states_gradient, items_gradient, None, None, None
        return states_gradient * scale, items_gradient * scale, None, None, None


def _loss_and_gradients(states_MD, items_ND, targets_M, mask_pad, rows):
    # In chunks of few rows a copy of all items costs more than aligned rows gain.
    items_AD = pad_rows(items_ND) if rows == len(targets_M) else items_ND
    loss = states_MD.new_zeros(())
    states_gradient = torch.empty_like(states_MD)
    items_gradient = torch.zeros_like(items_AD)
    excluded = [slice(len(items_ND), None), *([0] if mask_pad else [])]
    for begin in range(0, len(targets_M), rows):
        chunk = slice(begin, begin + rows)
        part, slope_CA = _loss_and_slope(states_MD[chunk], items_AD, targets_M[chunk], excluded)
        loss += part
        torch.mm(slope_CA, items_AD, out=states_gradient[chunk])
        items_gradient.addmm_(slope_CA.t(), states_MD[chunk])
        del slope_CA  # before the next one is made
    count = len(targets_M)
    return loss / count, states_gradient.div_(count), items_gradient[: len(items_ND)].div_(count)


def _loss_and_slope(states_CD, items_AD, targets_C, excluded):
    """Sum of the targets' losses and its derivative by the logits [C, A], the ``excluded`` columns left out."""
    logits_CA = states_CD @ items_AD.t()
    for columns in excluded:
        logits_CA[:, columns] = -torch.inf
    wanted = targets_C.unsqueeze(1)
    target_logits = logits_CA.gather(1, wanted)
    highest = logits_CA.amax(dim=1)
    softmax_CA = logits_CA.softmax(dim=1)
    # log sum exp from the largest entry, whose softmax is at least 1 / N; the target's may be zero.
    loss = (highest - softmax_CA.amax(dim=1).log() - target_logits.squeeze(1)).sum()
    return loss, softmax_CA.scatter_add_(1, wanted, torch.full_like(target_logits, -1.0))


def sampled_cross_entropy(
    states_MD: Tensor, candidates_CD: Tensor, targets_M: Tensor, inclusion_C: Tensor
) -> Tensor:
    """Sampled softmax with logQ correction: the catalogue's cross-entropy estimated from C candidates.

    A candidate's exponential is divided by the probability with which it came among the candidates, so that the sum
    over them is an unbiased estimate of the sum over the catalogue (Horvitz and Thompson, 1952); a row's own target,
    which is always there, is not corrected. Candidates that are certain (probability 1) make it the full softmax.

    Args:
        states_MD, candidates_CD: as in :func:`catalogue_cross_entropy`.
        targets_M: index of each row's target among the candidates.
        inclusion_C: probability of each candidate to be drawn.

    Source: Bengio and Senecal, "Adaptive importance sampling to accelerate training of a neural probabilistic
    language model", 2008; Yi et al., "Sampling-bias-corrected neural modeling", RecSys 2019.
    """
    states_MD, candidates_CD = at_least_float32(states_MD), at_least_float32(candidates_CD)
    with torch.autocast(states_MD.device.type, enabled=False):
        logits_MC = states_MD @ candidates_CD.t()
    correction_C = inclusion_C.to(logits_MC.dtype).log()
    wanted = targets_M.unsqueeze(1)
    corrected_MC = (logits_MC - correction_C).scatter(1, wanted, logits_MC.gather(1, wanted))
    return F.cross_entropy(corrected_MC, targets_M)


def inclusion_probability(counts_C: Tensor, batch_share: float, sampled_share: float) -> Tensor:
    """Probability of items to be among the candidates of one step.

    An item gets in as a target of the batch, which takes its part of an epoch's targets, or by the uniform sample.

    Args:
        counts_C: how many targets of an epoch each item is.
        batch_share: part of them that the batch holds.
        sampled_share: part of the items that is drawn, without replacement.
    """
    absent_C = torch.pow(1.0 - batch_share, counts_C.double()) * (1.0 - sampled_share)
    return 1.0 - absent_C
