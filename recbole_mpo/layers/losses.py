"""Losses over the whole catalogue, or over a sample of it.

Shapes: M targets, N items (row 0 is PAD), D hidden, C candidates.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_mpo.layers.cpu_kernels import pad_rows

# Logits held at once where a loss goes through the items in chunks: 64 MB, and their softmax as much again.
CHUNK_LOGITS = 1 << 24


def unit(vectors: Tensor) -> Tensor:
    """Scale rows to length one. A zero row stays zero and takes no gradient.

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
    """Return the mean cross-entropy against every item, from logits: the oracle of :func:`catalogue_cross_entropy`.

    PAD's logit stays in the sum, as in UniSRec's published code, unless ``mask_pad``.
    """
    if mask_pad:
        return F.cross_entropy(logits_MN[:, 1:], targets_M - 1)
    return F.cross_entropy(logits_MN, targets_M)


@dataclass(frozen=True)
class SparseLogits:
    """Entries [E] that are added to logits [M, N]; no place occurs twice."""

    rows: Tensor
    columns: Tensor
    values: Tensor

    def add_to(self, logits_MN: Tensor) -> Tensor:
        """Add the entries to the logits in place; return them."""
        places = self.rows * logits_MN.shape[1] + self.columns
        logits_MN.view(-1).index_add_(0, places, self.values.to(logits_MN.dtype))
        return logits_MN


def catalogue_cross_entropy(
    states_MD: Tensor,
    items_ND: Tensor,
    targets_M: Tensor,
    mask_pad: bool = False,
    max_logits: int | None = None,
    added: SparseLogits | None = None,
) -> Tensor:
    """Return the mean cross-entropy of the logits ``states @ items.T``, its gradient computed along with the loss.

    No logit is kept for the backward pass. Where there are more of them than ``max_logits``, they live in chunks of
    items and are computed twice: once for the sum of their exponentials, once for the gradient.

    Args:
        states_MD, items_ND: whatever scales the scores (cosine, temperature) is already in them.
        targets_M: item ids.
        mask_pad: leave PAD out of the softmax.
        max_logits: logits held at once, beside as many of their exponentials; all M * N when left out.
        added: entries to add to the logits; their values take a gradient.
    """
    count = len(targets_M) * len(items_ND)
    size = len(items_ND) if max_logits is None or count <= max_logits else max_logits // len(targets_M)
    states_MD, items_ND = at_least_float32(states_MD), at_least_float32(items_ND)
    if added is None:
        nothing = targets_M.new_zeros(0)
        added = SparseLogits(nothing, nothing, states_MD.new_zeros(0))
    return _CatalogueCrossEntropy.apply(
        states_MD, items_ND, added.values, added.rows, added.columns, targets_M, mask_pad, max(1, size)
    )


def at_least_float32(x: Tensor) -> Tensor:
    """Raise ``x`` to float32 if it has fewer digits: sums over a catalogue need them, whatever made it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _CatalogueCrossEntropy(torch.autograd.Function):
    """Backward only scales what forward has computed."""

    @staticmethod
    def forward(ctx, states_MD, items_ND, values_E, rows_E, columns_E, targets_M, mask_pad, size):
        added = SparseLogits(rows_E, columns_E, values_E)
        with torch.autocast(states_MD.device.type, enabled=False):
            if size < len(items_ND):
                loss, *gradients = _in_chunks(states_MD, items_ND, added, targets_M, mask_pad, size)
            else:
                loss, *gradients = _at_once(states_MD, items_ND, added, targets_M, mask_pad)
            gradients = [gradient.div_(len(targets_M)) for gradient in gradients]
        ctx.save_for_backward(*gradients)
        return loss / len(targets_M)

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):
        gradients = ctx.saved_tensors
        if scale != 1:  # else no copy of what may be as large as the catalogue
            gradients = [gradient * scale for gradient in gradients]
        return *gradients, None, None, None, None, None


def _at_once(states_MD, items_ND, added, targets_M, mask_pad):
    """Return the sum of the losses and its gradients by states, items and added values."""
    items_AD = pad_rows(items_ND)
    logits_MA = added.add_to(states_MD @ items_AD.t())
    logits_MA[:, len(items_ND) :] = -torch.inf
    if mask_pad:
        logits_MA[:, 0] = -torch.inf
    wanted = targets_M.unsqueeze(1)
    target_logits = logits_MA.gather(1, wanted)
    highest = logits_MA.amax(dim=1)
    slope_MA = logits_MA.softmax(dim=1)
    # log sum exp from the largest entry, whose softmax is at least 1 / N; the target's may be zero.
    loss = (highest - slope_MA.amax(dim=1).log() - target_logits.squeeze(1)).sum()
    slope_MA.scatter_add_(1, wanted, torch.full_like(target_logits, -1.0))
    places = added.rows * slope_MA.shape[1] + added.columns
    values_gradient = slope_MA.view(-1).index_select(0, places).to(added.values.dtype)
    return loss, slope_MA @ items_AD, (slope_MA.t() @ states_MD)[: len(items_ND)], values_gradient


def _in_chunks(states_MD, items_ND, added, targets_M, mask_pad, size):
    """Return the same, holding logits of ``size`` items at a time."""
    chunks = [slice(begin, begin + size) for begin in range(0, len(items_ND), size)]
    total_M1 = torch.full_like(states_MD[:, :1], -torch.inf)
    for chunk in chunks:
        logits_MC, _ = _chunk_logits(states_MD, items_ND, added, chunk, mask_pad)
        total_M1 = torch.logaddexp(total_M1, logits_MC.logsumexp(dim=1, keepdim=True))
    target_vectors = items_ND.index_select(0, targets_M)
    is_target_E = added.columns == targets_M.index_select(0, added.rows)
    target_logits = torch.linalg.vecdot(states_MD, target_vectors).sum() + added.values[is_target_E].sum()
    states_gradient, items_gradient = -target_vectors, torch.empty_like(items_ND)
    values_gradient = -is_target_E.to(added.values.dtype)
    for chunk in chunks:
        logits_MC, inside_E = _chunk_logits(states_MD, items_ND, added, chunk, mask_pad)
        softmax_MC = logits_MC.sub_(total_M1).exp_()
        states_gradient.addmm_(softmax_MC, items_ND[chunk])
        torch.mm(softmax_MC.t(), states_MD, out=items_gradient[chunk])
        rows, columns = added.rows[inside_E], added.columns[inside_E] - chunk.start
        values_gradient[inside_E] += softmax_MC[rows, columns].to(values_gradient.dtype)
    items_gradient.index_add_(0, targets_M, states_MD, alpha=-1)
    return total_M1.sum() - target_logits, states_gradient, items_gradient, values_gradient


def _chunk_logits(states_MD, items_ND, added, chunk, mask_pad):
    """Return logits of a chunk of items, and which of the added entries are in it."""
    logits_MC = states_MD @ items_ND[chunk].t()
    inside_E = (added.columns >= chunk.start) & (added.columns < chunk.stop)
    SparseLogits(added.rows[inside_E], added.columns[inside_E] - chunk.start, added.values[inside_E]).add_to(logits_MC)
    if mask_pad and chunk.start == 0:
        logits_MC[:, 0] = -torch.inf
    return logits_MC, inside_E


def sampled_cross_entropy(
    states_MD: Tensor, candidates_CD: Tensor, targets_M: Tensor, inclusion_C: Tensor
) -> Tensor:
    """Return the sampled softmax loss with logQ correction: the catalogue's cross-entropy estimated from C candidates.

    A candidate's exponential is divided by the probability with which it came among the candidates, so that the sum
    over them is an unbiased estimate of the sum over the catalogue (Horvitz and Thompson, 1952); a row's target, which
    is always there, is not corrected. Candidates that are certain (probability 1) make it the full softmax.

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
    """Return the probability of items to be among the candidates of one step.

    An item gets in as a target of the batch, which takes its part of an epoch's targets, or by the uniform sample.

    Args:
        counts_C: how many targets of an epoch each item is.
        batch_share: part of them that the batch holds.
        sampled_share: part of the items that is drawn, without replacement.
    """
    absent_C = torch.pow(1.0 - batch_share, counts_C.double()) * (1.0 - sampled_share)
    return 1.0 - absent_C
