"""Principal components of the text features, folded into the adaptor.

Legend: N items, F feature, k components, E experts, D hidden.
"""

import torch
from torch import Tensor, nn

from recbole_mpo.layers.adaptor import MoEAdaptor
from recbole_mpo.release.compress.context import Context
from recbole_mpo.release.compress.method import PARTS, WITH_FEATURES, Method


def principal_axes(rows_NF: Tensor, count: int, is_centred: bool = True) -> tuple[Tensor, Tensor]:
    """Return the mean [F] of rows, or zero, and their first principal axes [F, k], in float64.

    Args:
        rows_NF: the rows.
        count: k, at most F; fewer are returned if there are fewer rows.
        is_centred: whether the mean is taken away first.
    """
    rows_NF = rows_NF.double()
    mean_F = rows_NF.mean(dim=0) if is_centred else torch.zeros_like(rows_NF[0])
    axes_kF = torch.linalg.svd(rows_NF - mean_F, full_matrices=False).Vh[:count]
    # An SVD does not fix the sign of an axis.
    largest_k1 = axes_kF.gather(1, axes_kF.abs().argmax(dim=1, keepdim=True))
    return mean_F, (axes_kF * largest_k1.sign()).t()


@torch.no_grad()
def feature_pca(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Replace text features by their first principal components; return the model.

    With x = m + P z an expert's ``(x - b) W`` is ``z (P W) + (m - b) W``. So the new features are z and a one, and an
    expert's matrix gets a row for the one: nothing is lost but what the components leave out.

    Args:
        model: the model with dense experts, changed in place.
        share: share of the columns that is saved.
        context: gets the number of components and the share of the variance that they keep.
    """
    adaptor: MoEAdaptor = model.moe_adaptor
    features_NF = model.item_table.features
    count = max(1, round((1 - share) * features_NF.shape[1]))
    with_text_MF = features_NF[~model.item_table.is_empty]
    mean_F, axes_Fk = principal_axes(with_text_MF, count)
    centred_NF = features_NF.double() - mean_F
    components_Nk = centred_NF @ axes_Fk
    kept = (with_text_MF.double() - mean_F) @ axes_Fk
    variance = (with_text_MF.double() - mean_F).square().sum()
    for expert in adaptor.experts:
        weight_DF, bias_F = expert.lin.weight, expert.bias
        shift_D = weight_DF.double() @ (mean_F - bias_F.double())
        folded = torch.cat([weight_DF.double() @ axes_Fk, shift_D.unsqueeze(1)], dim=1).to(weight_DF)
        expert.lin = nn.Linear(folded.shape[1], folded.shape[0], bias=False, device="meta")
        expert.lin.weight = nn.Parameter(folded, requires_grad=weight_DF.requires_grad)
        expert.bias = nn.Parameter(bias_F.new_zeros(folded.shape[1]), requires_grad=bias_F.requires_grad)
    adaptor.w_gate, adaptor.w_noise = (_folded(gate, mean_F, axes_Fk) for gate in (adaptor.w_gate, adaptor.w_noise))
    ones_N1 = torch.ones(len(features_NF), 1)
    model.item_table.features = torch.cat([components_Nk.to(features_NF), ones_N1.to(features_NF)], dim=1)
    model.feature_size = model.item_table.features.shape[1]
    kept_share = float(kept.square().sum() / variance.clamp_min(1e-30))
    context.notes["feature-pca"] = {"components": axes_Fk.shape[1], "variance_kept": kept_share}
    return model


def _folded(gate_FE: nn.Parameter, mean_F: Tensor, axes_Fk: Tensor) -> nn.Parameter:
    gate = gate_FE.double()
    folded = torch.cat([axes_Fk.t() @ gate, (mean_F @ gate).unsqueeze(0)]).to(gate_FE)
    return nn.Parameter(folded, requires_grad=gate_FE.requires_grad)


FEATURE_PCA = Method(
    "feature-pca",
    PARTS,
    feature_pca,
    strength="share of the columns of the text features that is saved",
    stored="components of the features, and smaller matrices of the experts",
    bounds=(0.01, 0.99),
    is_trained=True,
    artefact=WITH_FEATURES,
)
