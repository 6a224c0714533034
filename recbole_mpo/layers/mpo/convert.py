"""Whole models: linear layers to MPO layers and back, merged evaluation, parameter counts.

Legend: W (out, in) is a merged weight; a name is a module's dotted path in the model.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recbole_mpo.layers.mpo.linear import MPOLinear
from recbole_mpo.layers.mpo.shape import MPOShape
from recbole_mpo.layers.replace import matching_linears, place

STRATEGIES = ("full", "light", "expand")


def convert_to_mpo(
    model: nn.Module,
    target_modules: str | Sequence[str],
    exclude_modules: str | Sequence[str] | None = None,
    strategy: str = "full",
    expand: int = 2,
    expand_init: str = "identity",
    *,
    shape: MPOShape | None = None,
    **shape_keywords,
) -> nn.Module:
    """Replace the model's matching ``nn.Linear`` layers by MPO layers of the same map, in place; return it.

    Convert after initialisation or loading, before building the optimizer.

    Args:
        target_modules: names or their dotted endings, patterns such as ``moe_adaptor.experts.*.lin``, or
            ``all-linear``.
        exclude_modules: names or patterns to leave as they are.
        strategy: ``full`` trains all cores, ``light`` all but the central one, ``expand`` inserts ``expand`` cores,
            which start as ``expand_init`` says, and trains all.
        shape: the :class:`MPOShape` of every layer, or its parts as keywords (``num_cores``, ``gauge``, ...).

    Raises:
        ValueError: an unknown strategy, nothing matches, a matching weight is tied, or the shape does not fit.
        TypeError: an unknown keyword, or keywords beside ``shape``.
    """
    shape = MPOShape.collect(shape, shape_keywords)
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}; got {strategy!r}")
    targets = matching_linears(model, target_modules, exclude_modules)
    _refuse_tied_weights(model, targets)
    layers: dict[nn.Linear, MPOLinear] = {}  # all built before the first is placed: an error changes nothing
    for name, linear in targets.items():
        if linear in layers:
            continue
        try:
            layers[linear] = _converted(linear, shape, strategy, expand, expand_init)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    for name, linear in targets.items():
        place(model, name, layers[linear])
    return model


def _converted(linear: nn.Linear, shape: MPOShape, strategy: str, expand: int, expand_init: str) -> MPOLinear:
    layer = MPOLinear.from_linear(linear, shape=shape)
    if strategy == "light":
        layer.freeze_central()
    if strategy == "expand":
        layer.expand(expand, init=expand_init)
    return layer


def _refuse_tied_weights(model: nn.Module, targets: dict[str, nn.Linear]) -> None:
    owners: dict[nn.Parameter, str] = {}
    for name, module in model.named_modules():
        for key, parameter in module.named_parameters(prefix=name, recurse=False, remove_duplicate=False):
            owner = owners.setdefault(parameter, key)
            if owner != key and any(parameter is linear.weight for linear in targets.values()):
                raise ValueError(f"{key} and {owner} are one tied weight, which MPO would part: exclude it")


def mpo_layers(model: nn.Module) -> dict[str, MPOLinear]:
    """Return the MPO layers of a model by name; a layer used under two names appears under both."""
    modules = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in modules if isinstance(module, MPOLinear)}


def merge_mpo(model: nn.Module) -> nn.Module:
    """Replace every MPO layer by the ``nn.Linear`` of its merged weight, in place; return the model.

    Keys are those of the dense model; weights are trainable unless all their cores were frozen. A model
    that is itself an MPO layer is returned as a new ``nn.Linear``.

    Raises:
        RuntimeError: inside :func:`merged`.
    """
    layers = mpo_layers(model)
    if any(layer.holds_weight for layer in layers.values()):
        raise RuntimeError("merge_mpo replaces layers whose weights merged() holds: leave it first")
    dense = {layer: layer.to_linear() for layer in set(layers.values())}
    if isinstance(model, MPOLinear):
        return dense[model]
    for name, layer in layers.items():
        place(model, name, dense[layer])
    return model


def dense_state_dict(model: nn.Module) -> "OrderedDict[str, Tensor]":
    """Return the state dict of the dense model: merged ``weight`` keys for cores; the model stays as it is."""
    layers = {f"{name}." if name else "": layer for name, layer in mpo_layers(model).items()}
    dense: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in model.state_dict().items():
        prefix = next((prefix for prefix in layers if key.startswith(prefix)), None)
        if prefix is None:
            dense[key] = value
            continue
        if prefix + "weight" not in dense:  # first, as in nn.Linear
            dense[prefix + "weight"] = layers[prefix].dense_weight()
        if key == prefix + "bias":
            dense[key] = value
    return dense


@contextmanager
def merged(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluate with every MPO weight merged once: no gradients, fresh weights at each entry, dropped at exit.

    Explicit because fused optimizers change parameters without moving their version counters, so that no
    cache could know when it is stale. Nests.

    Raises:
        RuntimeError: the model is in training mode; inside, training it or replacing cores.
    """
    layers = set(mpo_layers(model).values())
    if model.training or any(layer.training for layer in layers):
        raise RuntimeError("merged() is for evaluation: call model.eval() first")
    unheld_layers = [layer for layer in layers if not layer.holds_weight]
    with torch.no_grad():
        try:
            for layer in unheld_layers:
                layer.hold_weight()
            yield model
        finally:
            for layer in unheld_layers:
                layer.release_weight()


def get_nb_trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """Return the numbers of trainable and of all parameters, shared ones counted once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)


def print_trainable_parameters(model: nn.Module) -> None:
    """Print the counts as peft does: ``trainable params: … || all params: … || trainable%: …``."""
    trainable, total = get_nb_trainable_parameters(model)
    share = 100 * trainable / total if total else 0.0
    print(f"trainable params: {trainable:,d} || all params: {total:,d} || trainable%: {share:.4f}")
