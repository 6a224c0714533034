"""MPO truncation: matrices become matrix product operators with smaller bonds.

Legend: n cores; d bond dimensions; W (O, I) as ``nn.Linear`` stores it.
"""

import math

from torch import nn

from recbole_mpo.layers.mpo import MPOLinear, convert_to_mpo
from recbole_mpo.layers.mpo.decompose import to_tensor
from recbole_mpo.layers.mpo.truncation import bond_spectra, entropy
from recbole_mpo.layers.replace import place
from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import MATRICES, Method


def stored_entries(layer: MPOLinear) -> int:
    """Return the number of entries that a layer is stored with: those of its cores, or of the matrix if it has fewer.

    Full bonds take a tenth more than the matrix itself.
    """
    return min(sum(core.numel() for core in layer.cores), layer.in_features * layer.out_features)


def keep_dense(model: nn.Module, layers: dict[str, MPOLinear], dense: dict[str, nn.Module]) -> dict[str, MPOLinear]:
    """Put dense layers back where cores are no smaller; return the MPO layers that stay, by name.

    Args:
        model: the model, changed in place.
        layers: its MPO layers by name.
        dense: the layer that replaces each of them where it stays dense.
    """
    kept = {}
    for name, layer in layers.items():
        if sum(core.numel() for core in layer.cores) < layer.in_features * layer.out_features:
            kept[name] = layer
        else:
            place(model, name, dense[name])
    return kept


def as_mpo(model: nn.Module) -> dict[str, MPOLinear]:
    """Replace the matrices of adaptor and Transformer by MPO layers that compute the same; return these by name."""
    names = [*matrices(model)]
    convert_to_mpo(model, names)
    return {name: model.get_submodule(name) for name in names}


def mpo(model: nn.Module, bond: int, context: Context) -> nn.Module:
    """Store each matrix as an MPO whose bonds have at most this dimension, where that is smaller; return the model.

    Args:
        model: the model with dense layers, changed in place.
        bond: largest dimension of a bond.
        context: gets bonds, errors and entropies by layer.
    """
    return _truncate(model, context, {"max_bond_dim": bond})


def mpo_energy(model: nn.Module, lost: float, context: Context) -> nn.Module:
    """Store each matrix as an MPO that loses at most this share of its squared norm, where that is smaller.

    Args:
        model: the model with dense layers, changed in place.
        lost: largest share of the squared norm that is lost.
        context: gets bonds, errors and entropies by layer.
    """
    return _truncate(model, context, {"max_error": math.sqrt(lost)})


def _truncate(model: nn.Module, context: Context, limits: dict) -> nn.Module:
    dense, notes = matrices(model), {}
    layers = as_mpo(model)
    for name, layer in layers.items():
        spectra = bond_spectra(to_tensor(layer.merge().detach(), layer.in_factors, layer.out_factors))
        report = layer.truncate(**limits)
        notes[name] = {
            "bonds": list(report.bond_dims),
            "error": report.error,
            "discarded": list(report.discarded),
            "entropies": [entropy(values) for values in spectra],
            "params_of_dense": report.params / (layer.in_features * layer.out_features),
        }
    kept = keep_dense(model, layers, dense)
    context.notes["mpo"] = {
        "layers": {name: notes[name] for name in kept},
        "dense": sorted(layers.keys() - kept.keys()),
    }
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
