"""Dimension squeezing: the bond whose cut costs least is cut, again and again, with light training in between.

Liu et al., "Enabling lightweight fine-tuning for pre-trained language model compression based on matrix product
operators", ACL 2021, algorithm 2. What a cut costs is predicted from the singular values of the bond, which are exact
for the weight as it is; training changes them, so they are computed again after it.

Legend: n cores; d bond dimensions; s the step by which a bond is cut; W (O, I) as ``nn.Linear`` stores it.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recbole_mpo.layers.mpo import MPOLinear
from recbole_mpo.layers.mpo.decompose import to_tensor
from recbole_mpo.layers.mpo.factors import parameter_counts
from recbole_mpo.layers.mpo.truncation import bond_spectra
from recbole_mpo.release.compress.context import Context, matrices
from recbole_mpo.release.compress.method import MATRICES, Method
from recbole_mpo.release.compress.mpo_bonds import as_mpo, keep_dense, stored_entries

# A bond is cut by this share of its first dimension at a time.
STEP = 1 / 16
# Between two trainings the model becomes this much smaller.
ROUND = 0.1
# Epochs of each of these.
LIGHT_EPOCHS = 1


class Cut(NamedTuple):
    """One possible cut of a bond.

    Attributes:
        cost: squared norm that is lost per entry that is saved.
        error: norm of the change of the weight, relative to its norm.
        layer: name of the layer.
        bonds: all bonds of the layer after the cut.
        bond: number of the bond that is cut, from 1.
    """

    cost: float
    error: float
    layer: str
    bonds: tuple[int, ...]
    bond: int


def squeeze(model: nn.Module, share: float, context: Context) -> nn.Module:
    """Cut the cheapest bonds until this share of the matrices' entries is saved; return the model.

    With further training in the context the auxiliary cores are trained for an epoch each time that the matrices have
    lost a tenth of their entries, and at the end. It stops early, at the last model that was good enough, once the
    quality on the valid part has dropped by more than ``largest_drop``.

    Args:
        model: the model with dense layers, changed in place.
        share: share of the entries of all matrices that is saved.
        context: gets the history of cuts and why it ended.
    """
    before = matrices(model)
    layers = as_mpo(model)
    dense = sum(layer.in_features * layer.out_features for layer in layers.values())
    squeezing = Squeezing(layers)
    is_trained = context.train is not None and context.score is not None
    history, ended = _cut(model, squeezing, (1 - share) * dense, context if is_trained else None)
    # What was trained is no longer the former matrix.
    whole = {name: layer.to_linear() for name, layer in layers.items()} if is_trained else before
    kept = keep_dense(model, layers, whole)
    context.notes["squeeze"] = {
        "history": history,
        "ended_by": ended,
        "entries": squeezing.entries(),
        "of": dense,
        "dense": sorted(layers.keys() - kept.keys()),
    }
    return model


def _cut(model: nn.Module, squeezing: "Squeezing", least: float, training: Context | None) -> tuple[list[dict], str]:
    """Cut bonds until so many entries are left; return the history and why it ended.

    Args:
        model: the model of the layers.
        squeezing: the layers and the costs of cutting them.
        least: entries at which to stop.
        training: how to train and judge the model between cuts; None to only cut.
    """
    layers, history, ended = squeezing.layers, [], "size"
    dense = sum(layer.in_features * layer.out_features for layer in layers.values())
    judge = Judge(model, squeezing, training) if training else None
    last_trained = squeezing.entries()
    while squeezing.entries() > least:
        cut = squeezing.cheapest()
        if cut is None:
            ended = "no bond left to cut"
            break
        history.append(squeezing.apply(cut))
        if judge is not None and squeezing.entries() <= last_trained - ROUND * dense:
            last_trained = squeezing.entries()
            if not judge.accepts(history[-1]):
                return history, "quality"
    # What was cut since the last full tenth is judged too.
    if judge is not None and history and "valid" not in history[-1] and not judge.accepts(history[-1]):
        return history, "quality"
    return history, ended


class Judge:
    """Trains a model between cuts, and keeps the last one that was good enough.

    Args:
        model: the model of the layers.
        squeezing: the layers and the costs of cutting them.
        training: how to train and judge the model.
    """

    def __init__(self, model: nn.Module, squeezing: "Squeezing", training: Context):
        self.model, self.squeezing, self.training = model, squeezing, training
        self.best, self.first = _cores(squeezing.layers), training.score(model.eval())

    def accepts(self, line: dict) -> bool:
        """Train the small cores, and return whether the quality is good enough; if not, the last good cores are back.

        Args:
            line: line of the history, which gets the quality.
        """
        layers = self.squeezing.layers
        self.training.train(self.model, self.training, LIGHT_EPOCHS, is_auxiliary(layers))
        self.squeezing.forget()
        line["valid"] = self.training.score(self.model.eval())
        if line["valid"] < (1 - self.training.largest_drop) * self.first:
            for name, layer in layers.items():
                layer.cores = self.best[name]
            return False
        self.best = _cores(layers)
        return True


def _cores(layers: dict[str, MPOLinear]) -> dict[str, nn.ParameterList]:
    return copy.deepcopy({name: layer.cores for name, layer in layers.items()})


def is_auxiliary(layers: dict[str, MPOLinear]):
    """Return a test of parameter names: whether it is a core of one of these layers, but not a central one."""
    names = {
        f"{name}.cores.{number}"
        for name, layer in layers.items()
        for number in range(layer.num_cores)
        if number != layer.central_index
    }
    return names.__contains__


class Squeezing:
    """MPO layers and the singular values of their bonds.

    Args:
        layers: the layers by name, changed in place.
    """

    def __init__(self, layers: dict[str, MPOLinear]):
        self.layers = layers
        self.steps = {name: [max(1, round(STEP * bond)) for bond in layer.bond_dims] for name, layer in layers.items()}
        self.cuts: dict[str, list[Cut]] = {}

    def entries(self) -> int:
        """Return the number of entries that all layers are stored with, dense where that is fewer."""
        return sum(map(stored_entries, self.layers.values()))

    def forget(self):
        """Compute all costs again: the weights have changed."""
        self.cuts.clear()

    def cheapest(self) -> Cut | None:
        """Return the cut that loses least per entry saved; None if every bond is 1."""
        for name, layer in self.layers.items():
            if name not in self.cuts:
                self.cuts[name] = self._cuts(name, layer)
        return min((cut for cuts in self.cuts.values() for cut in cuts), default=None)

    @torch.no_grad()
    def _cuts(self, name: str, layer: MPOLinear) -> list[Cut]:
        tensor = to_tensor(layer.merge(), layer.in_factors, layer.out_factors)
        norm = float(tensor.norm()) or 1.0
        cuts = []
        for number, values in enumerate(bond_spectra(tensor)):
            bonds = list(layer.bond_dims)
            bonds[number] = max(1, bonds[number] - self.steps[name][number])
            bonds = _possible(bonds, layer)
            saved = sum(core.numel() for core in layer.cores) - _entries(layer, bonds)
            if saved > 0:
                error = _lost(values, bonds[number]) / norm
                cuts.append(Cut((error * norm) ** 2 / saved, error, name, tuple(bonds), number + 1))
        return cuts

    def apply(self, cut: Cut) -> dict:
        """Cut a bond, in the central gauge; return a line of the history."""
        layer = self.layers[cut.layer]
        before = layer.bond_dims
        report = layer.truncate(max_bond_dim=cut.bonds)
        del self.cuts[cut.layer]
        return {
            "layer": cut.layer,
            "bond": cut.bond,
            "from": list(before),
            "to": list(report.bond_dims),
            "predicted": cut.error,
            "error": report.error,
            "entries": sum(core.numel() for each in self.layers.values() for core in each.cores),
        }


def _lost(values: Tensor, bond: int) -> float:
    return float(values[bond:].norm())


def _possible(bonds: list[int], layer: MPOLinear) -> list[int]:
    """Return bonds in which none is larger than its neighbours and factors allow; those lose nothing more."""
    sizes = [i * o for i, o in zip(layer.in_factors, layer.out_factors, strict=True)]
    whole = [1, *bonds, 1]
    for k in range(1, len(whole) - 1):
        whole[k] = min(whole[k], whole[k - 1] * sizes[k - 1])
    for k in reversed(range(1, len(whole) - 1)):
        whole[k] = min(whole[k], whole[k + 1] * sizes[k])
    return whole[1:-1]


def _entries(layer: MPOLinear, bonds: list[int]) -> int:
    return sum(parameter_counts(layer.in_factors, layer.out_factors, bonds))


SQUEEZE = Method(
    "squeeze",
    MATRICES,
    squeeze,
    strength="share of the entries of all matrices that is saved",
    stored="cores; their product is computed when a model is read or ranks",
    bounds=(0.01, 0.99),
    is_trained=True,
)
