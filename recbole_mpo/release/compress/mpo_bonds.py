"""MPO truncation: matrices become matrix product operators with smaller bonds.

Legend: n cores; d bond dimensions; W (O, I) as ``nn.Linear`` stores it.
"""

import math

from torch import nn

from recbole_mpo.layers.mpo import MPOLinear, convert_to_mpo
from recbole_mpo.layers.mpo.decompose import to_tensor
from recbole_mpo.layers.mpo.truncation import bond_spectra, entropy
from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import MATRICES, Method


def as_mpo(model: nn.Module) -> dict[str, MPOLinear]:
    """Replace the matrices of adaptor and Transformer by MPO layers that compute the same; return these by name."""
    names = [*matrices(model)]
    convert_to_mpo(model, names)
    return {name: model.get_submodule(name) for name in names}


def mpo(model: nn.Module, bond: int, context: Context) -> nn.Module:
    """Store each matrix as an MPO whose bonds have at most this dimension; return the model.

    Args:
        model: the model with dense layers, changed in place.
        bond: largest dimension of a bond.
        context: gets bonds, errors and entropies by layer.
    """
    return _truncate(model, context, {"max_bond_dim": bond})


def mpo_energy(model: nn.Module, lost: float, context: Context) -> nn.Module:
    """Store each matrix as an MPO that loses at most this share of its squared norm; return the model.

    Args:
        model: the model with dense layers, changed in place.
        lost: largest share of the squared norm that is lost.
        context: gets bonds, errors and entropies by layer.
    """
    return _truncate(model, context, {"max_error": math.sqrt(lost)})


def _truncate(model: nn.Module, context: Context, limits: dict) -> nn.Module:
    layers = {}
    for name, layer in as_mpo(model).items():
        spectra = bond_spectra(to_tensor(layer.merge().detach(), layer.in_factors, layer.out_factors))
        report = layer.truncate(**limits)
        layers[name] = {
            "bonds": list(report.bond_dims),
            "error": report.error,
            "discarded": list(report.discarded),
            "entropies": [entropy(values) for values in spectra],
            "params_of_dense": report.params / (layer.in_features * layer.out_features),
        }
    context.notes["mpo"] = {"layers": layers}
    return model


_STORED = "cores; their product is computed when a model is read or ranks"
MPO = Method(
    "mpo",
    MATRICES,
    mpo,
    strength="largest dimension of a bond",
    stored=_STORED,
    bounds=(1, 4096),
    is_whole=True,
    is_trained=True,
    falls=True,
)
MPO_ENERGY = Method(
    "mpo-energy",
    MATRICES,
    mpo_energy,
    strength="largest share of the squared norm of each matrix that is lost",
    stored=_STORED,
    bounds=(0.0001, 0.99),
    is_trained=True,
)
