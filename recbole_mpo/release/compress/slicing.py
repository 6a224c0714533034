"""Structured pruning: neurons, attention heads and experts are taken out, and the matrices become smaller.

Legend: D hidden, I inner size of a feed-forward part, H heads, F feature, E experts, N items.
"""

import torch
from torch import Tensor, nn

from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.layers.transformer import CausalSelfAttention, FeedForward
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.method import PARTS, Method

_STORED = "smaller matrices"


@torch.no_grad()
def drop_neurons(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Take the weakest neurons out of each feed-forward part; return the model.

    A neuron's strength is the product of the norms of its row of the first matrix and its column of the second.

    Args:
        model: the model with dense layers, changed in place.
        share: share of the neurons of each part that is taken out; at least one stays.
        context: gets how many stay.
    """
    kept = []
    for part in _parts(model, FeedForward):
        strengths_I = part.dense_1.weight.norm(dim=1) * part.dense_2.weight.norm(dim=0)
        rows = strongest(strengths_I, share)
        part.dense_1, part.dense_2 = sliced(part.dense_1, rows=rows), sliced(part.dense_2, columns=rows)
        kept.append(len(rows))
    context.notes["ffn"] = {"neurons": kept}
    return model


@torch.no_grad()
def drop_heads(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Take the weakest heads out of each attention; return the model.

    A head's strength is the norm of its columns of the output matrix.

    Args:
        model: the model with dense layers, changed in place.
        share: share of the heads of each attention that is taken out; at least one stays.
        context: gets how many stay.
    """
    kept = []
    for part in _parts(model, CausalSelfAttention):
        strengths_H = part.dense.weight.unflatten(1, (part.num_heads, -1)).norm(dim=(0, 2))
        heads = strongest(strengths_H, share)
        width = part.dense.in_features // part.num_heads
        rows = (heads.unsqueeze(1) * width + torch.arange(width)).flatten()
        part.query, part.key, part.value = (sliced(layer, rows=rows) for layer in (part.query, part.key, part.value))
        part.dense = sliced(part.dense, columns=rows)
        part.num_heads = len(heads)
        kept.append(len(heads))
    context.notes["heads"] = {"heads": kept}
    return model


@torch.no_grad()
def drop_experts(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Take the experts with the least weight out of the adaptor; return the model.

    An expert's weight is its mean gate over the catalogue. The gates of the others then sum to one again: a softmax
    over fewer logits is the former one divided by its sum over these.

    Args:
        model: the model with dense layers, changed in place.
        share: share of the experts that is taken out; at least one stays.
        context: gets which stay, and the mean gates.
    """
    adaptor: MoEAdaptor = model.moe_adaptor
    model.eval()
    features_NF = model.item_table.features[~model.item_table.is_empty]
    mass_E = adaptor.gates(features_NF).mean(dim=0)
    experts = strongest(mass_E, share)
    adaptor.experts = nn.ModuleList(adaptor.experts[number] for number in experts.tolist())
    adaptor.w_gate, adaptor.w_noise = (_columns(gate, experts) for gate in (adaptor.w_gate, adaptor.w_noise))
    context.notes["experts"] = {"kept": experts.tolist(), "mean_gates": mass_E.tolist()}
    return model


def strongest(strengths: Tensor, share: float) -> Tensor:
    """Return the places, ascending, of the strongest entries that stay when a share is taken out; at least one."""
    count = max(1, len(strengths) - round(share * len(strengths)))
    return strengths.topk(count).indices.sort().values


def sliced(linear: nn.Linear, rows: Tensor | None = None, columns: Tensor | None = None) -> nn.Linear:
    """Return a linear layer with some outputs (``rows``) or some inputs (``columns``) of another."""
    weight, bias = linear.weight, linear.bias
    part = weight if rows is None else weight.index_select(0, rows)
    part = part if columns is None else part.index_select(1, columns)
    layer = nn.Linear(part.shape[1], part.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(part.clone(), requires_grad=weight.requires_grad)
    if bias is not None:
        kept = bias if rows is None else bias.index_select(0, rows)
        layer.bias = nn.Parameter(kept.clone(), requires_grad=bias.requires_grad)
    return layer.train(linear.training)


def _columns(gate_FE: nn.Parameter, experts: Tensor) -> nn.Parameter:
    return nn.Parameter(gate_FE.index_select(1, experts), requires_grad=gate_FE.requires_grad)


def _parts(model: nn.Module, kind: type) -> list:
    return [module for module in model.modules() if isinstance(module, kind)]


FFN = Method(
    "ffn",
    PARTS,
    drop_neurons,
    strength="share of the neurons of each feed-forward part that is taken out",
    stored=_STORED,
    bounds=(0.01, 0.99),
    is_trained=True,
)
HEADS = Method(
    "heads",
    PARTS,
    drop_heads,
    strength="share of the heads of each attention that is taken out",
    stored=_STORED,
    bounds=(0.01, 0.99),
    is_trained=True,
)
EXPERTS = Method(
    "experts",
    PARTS,
    drop_experts,
    strength="share of the adaptor's experts that is taken out",
    stored=_STORED,
    bounds=(0.01, 0.99),
    is_trained=True,
)
