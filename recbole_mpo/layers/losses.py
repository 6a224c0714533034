"""Losses over all items, or over a sample of them.

Shapes: M targets, N items (row 0 is PAD), D hidden, C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_mpo.layers.cpu_kernels import pad_rows

# Logits held at once when a loss goes through the items in chunks: 64 MB, and 64 MB more for their softmax.
CHUNK_LOGITS = 1 << 24


def unit(vectors: Tensor) -> Tensor:
    """Return vectors [..., D] scaled to length one. A zero vector stays zero and gets no gradient.

    ``F.normalize`` gives a zero vector (an item without text, while the whitening biases are zero) a gradient of the
    order of 1e12. One step with it spoils Adam's second moment of every bias for the rest of the training.
    """
    return _Unit.apply(vectors)


class _Unit(torch.autograd.Function):
    """``u = v / |v|``; the backward pass ``(g - u (u . g)) / |v|`` makes one array of the size of v."""

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
    """Return the mean cross-entropy over all items, from logits: the reference for ``catalogue_cross_entropy``.

    PAD's logit stays in the sum, as in UniSRec's published code, unless ``mask_pad`` is set.
    """
    if mask_pad:
        return F.cross_entropy(logits_MN[:, 1:], targets_M - 1)
    return F.cross_entropy(logits_MN, targets_M)


@dataclass(frozen=True)
class SparseLogits:
    """Entries [E] to add to logits [M, N]; where a place occurs several times, its values add up.

    Attributes:
        rows: rows of the entries [E].
        columns: columns of the entries [E].
        values: values to add [E].
    """

    rows: Tensor
    columns: Tensor
    values: Tensor

    @classmethod
    def at(cls, places: Tensor, width: int, values: Tensor) -> "SparseLogits":
        """Return entries at places of the flattened logits, which have ``width`` columns."""
        return cls(torch.div(places, width, rounding_mode="floor"), places % width, values)

    @classmethod
    def joined(cls, parts: Sequence["SparseLogits"]) -> "SparseLogits":
        """Return the entries of all parts."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("rows", "columns", "values")))

    def add_to(self, logits_MN: Tensor) -> Tensor:
        """Add the entries to the logits in place; return the logits."""
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
    """Return the mean cross-entropy of the logits ``states @ items.T``; the gradient is computed with the loss.

    No logits are kept for the backward pass. If there are more of them than ``max_logits``, they are computed in chunks
    of items, and twice: once for the sum of their exponentials, once for the gradient.

    Args:
        states_MD: states of the histories, already scaled as the scores need it (cosine, temperature).
        items_ND: vectors of the items, scaled likewise.
        targets_M: ids of the items to predict.
        mask_pad: whether to leave PAD out of the softmax.
        max_logits: number of logits held at once, and of their exponentials beside them; all M * N when left out.
        added: entries to add to the logits; their values get a gradient.

    Returns:
        The loss, a scalar of at least float32.
    """
    count = len(targets_M) * len(items_ND)
    size = len(items_ND) if max_logits is None or count <= max_logits else max_logits // len(targets_M)
    states_MD, items_ND = at_least_float32(states_MD), at_least_float32(items_ND)
    if added is None:
        no_indices = targets_M.new_zeros(0)
        added = SparseLogits(no_indices, no_indices, states_MD.new_zeros(0))
    return _CatalogueCrossEntropy.apply(
        states_MD, items_ND, added.values, added.rows, added.columns, targets_M, mask_pad, max(1, size)
    )


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x``, converted to float32 if it is less precise: sums over all items need that precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _CatalogueCrossEntropy(torch.autograd.Function):
    """Cross-entropy whose gradients are computed in the forward pass; the backward pass only scales them."""

    @staticmethod
    def forward(ctx, states_MD, items_ND, values_E, rows_E, columns_E, targets_M, mask_pad, size):
        added = SparseLogits(rows_E, columns_E, values_E)
        with torch.autocast(states_MD.device.type, enabled=False):
            if size < len(items_ND):
                loss, *gradients = _in_chunks(states_MD, items_ND, added, targets_M, mask_pad, size)
            else:
                loss, *gradients = _at_once(states_MD, items_ND, added, targets_M, mask_pad)
            # No targets, as in a process that got no part of a batch, give a loss of zero.
            count = max(1, len(targets_M))
            gradients = [gradient.div_(count) for gradient in gradients]
        ctx.save_for_backward(*gradients)
        return loss / count

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):
        gradients = ctx.saved_tensors
        if scale != 1:  # otherwise avoid a copy, which may be as large as all item vectors
            gradients = [gradient * scale for gradient in gradients]
        return *gradients, None, None, None, None, None


def _at_once(states_MD, items_ND, added, targets_M, mask_pad):
    """Return the sum of the losses and its gradients with respect to states, items and added values."""
    items_AD = pad_rows(items_ND)
    logits_MA = added.add_to(states_MD @ items_AD.t())
    logits_MA[:, len(items_ND) :] = -torch.inf
    if mask_pad:
        logits_MA[:, 0] = -torch.inf
    targets_M1 = targets_M.unsqueeze(1)
    target_logits = logits_MA.gather(1, targets_M1)
    highest = logits_MA.amax(dim=1)
    slope_MA = logits_MA.softmax(dim=1)
    # The log of the sum comes from the largest entry: its softmax is at least 1 / N, the target's may be zero.
    loss = (highest - slope_MA.amax(dim=1).log() - target_logits.squeeze(1)).sum()
    slope_MA.scatter_add_(1, targets_M1, torch.full_like(target_logits, -1.0))
    places = added.rows * slope_MA.shape[1] + added.columns
    values_gradient = slope_MA.view(-1).index_select(0, places).to(added.values.dtype)
    return loss, slope_MA @ items_AD, (slope_MA.t() @ states_MD)[: len(items_ND)], values_gradient


def _in_chunks(states_MD, items_ND, added, targets_M, mask_pad, size):
    """Return the same as ``_at_once``, holding the logits of ``size`` items at a time."""
    chunks = [slice(begin, min(begin + size, len(items_ND))) for begin in range(0, len(items_ND), size)]
    # In order of their columns, so that the entries of a chunk are found without a pass over all.
    order_E = added.columns.argsort()
    added = SparseLogits(*(part.index_select(0, order_E) for part in (added.rows, added.columns, added.values)))
    edges = torch.searchsorted(added.columns, added.columns.new_tensor([0, *(chunk.stop for chunk in chunks)])).tolist()
    entries = [slice(*pair) for pair in pairwise(edges)]
    total_M1 = torch.full_like(states_MD[:, :1], -torch.inf)
    for chunk, inside in zip(chunks, entries, strict=True):
        logits_MC = _chunk_logits(states_MD, items_ND, added, chunk, inside, mask_pad)
        total_M1 = torch.logaddexp(total_M1, logits_MC.logsumexp(dim=1, keepdim=True))
    target_vectors = items_ND.index_select(0, targets_M)
    is_target_E = added.columns == targets_M.index_select(0, added.rows)
    target_logits = torch.linalg.vecdot(states_MD, target_vectors).sum() + added.values[is_target_E].sum()
    states_gradient, items_gradient = -target_vectors, torch.empty_like(items_ND)
    values_gradient = -is_target_E.to(added.values.dtype)
    for chunk, inside in zip(chunks, entries, strict=True):
        logits_MC = _chunk_logits(states_MD, items_ND, added, chunk, inside, mask_pad)
        softmax_MC = logits_MC.sub_(total_M1).exp_()
        states_gradient.addmm_(softmax_MC, items_ND[chunk])
        torch.mm(softmax_MC.t(), states_MD, out=items_gradient[chunk])
        places = added.rows[inside], added.columns[inside] - chunk.start
        values_gradient[inside] += softmax_MC[places].to(values_gradient.dtype)
    items_gradient.index_add_(0, targets_M, states_MD, alpha=-1)
    in_given_order = torch.empty_like(values_gradient).index_copy_(0, order_E, values_gradient)
    return total_M1.sum() - target_logits, states_gradient, items_gradient, in_given_order


def _chunk_logits(states_MD, items_ND, added, chunk, inside, mask_pad):
    """Return the logits of a chunk of items; the added entries in a range are in it."""
    logits_MC = states_MD @ items_ND[chunk].t()
    SparseLogits(added.rows[inside], added.columns[inside] - chunk.start, added.values[inside]).add_to(logits_MC)
    if mask_pad and chunk.start == 0:
        logits_MC[:, 0] = -torch.inf
    return logits_MC


def sampled_cross_entropy(
    states_MD: Tensor,
    candidates_CD: Tensor,
    targets_M: Tensor,
    inclusion_C: Tensor,
    added: SparseLogits | None = None,
) -> Tensor:
    """Return the sampled softmax loss with logQ correction: the cross-entropy over all items, from C candidates.

    The exponential of a candidate is divided by the probability that it is among the candidates. So the sum over the
    candidates is an unbiased estimate of the sum over all items (Horvitz and Thompson, 1952). A row's target is always
    among them and is not corrected. If every item is a candidate with probability 1, this is the full softmax.

    Args:
        states_MD: states of the histories, already scaled as the scores need it (cosine, temperature).
        candidates_CD: vectors of the candidates, scaled likewise.
        targets_M: index of each row's target among the candidates.
        inclusion_C: probability that each candidate is among the candidates.
        added: entries to add to the logits [M, C]; their values get a gradient.

    Returns:
        The loss, a scalar of at least float32.

    Source: Bengio and Senecal, "Adaptive importance sampling to accelerate training of a neural probabilistic
    language model", 2008; Yi et al., "Sampling-bias-corrected neural modeling", RecSys 2019.
    """
    states_MD, candidates_CD = at_least_float32(states_MD), at_least_float32(candidates_CD)
    correction_C = inclusion_C.to(candidates_CD.dtype).log()
    # As one more dimension the correction needs no pass over the logits, and the targets get it back.
    rows_M = torch.arange(len(targets_M), device=targets_M.device)
    own_M = SparseLogits(rows_M, targets_M, correction_C.index_select(0, targets_M))
    return catalogue_cross_entropy(
        F.pad(states_MD, (0, 1), value=1.0),
        torch.cat([candidates_CD, -correction_C.unsqueeze(1)], dim=1),
        targets_M,
        added=own_M if added is None else SparseLogits.joined([own_M, added]),
    )


def inclusion_probability(counts_C: Tensor, batch_share: float, sampled_share: float) -> Tensor:
    """Return the probability [C] that items are among the candidates of one step.

    An item is a candidate if it is a target of the batch or part of the uniform sample.

    Args:
        counts_C: how often each item is a target in an epoch.
        batch_share: share of an epoch's targets that the batch holds.
        sampled_share: share of the items that is drawn, without replacement.
    """
    absent_C = torch.pow(1.0 - batch_share, counts_C.double()) * (1.0 - sampled_share)
    return 1.0 - absent_C
