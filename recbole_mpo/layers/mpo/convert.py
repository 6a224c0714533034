"""Conversion of whole models to MPO layers and back, evaluation with merged weights, and parameter counts.

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

STRATEGIES = ("full", "light", "expand", "progressive")
"""Which cores are trained: all; all but the central one; all, with expansion cores inserted; or, with expansion cores
inserted, first those of ``light``, see :func:`train_cores`."""


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
    """Replace the matching ``nn.Linear`` layers of a model by MPO layers that compute the same; return the model.

    Convert after initialisation or loading, and before building the optimizer.

    Args:
        model: the model, changed in place.
        target_modules: names or their dotted endings, patterns such as ``moe_adaptor.experts.*.lin``, or
            ``all-linear``.
        exclude_modules: names or patterns of layers to leave as they are.
        strategy: ``full`` trains all cores; ``light`` all but the central one; ``expand`` inserts expansion cores and
            trains all; ``progressive`` inserts them too and begins like ``light``.
        expand: number of cores to insert; used only with ``expand`` and ``progressive``.
        expand_init: start of the inserted cores, as in ``MPOLinear.expand``.
        shape: the ``MPOShape`` of every layer.
        **shape_keywords: fields of the ``MPOShape``, instead of ``shape``.

    Raises:
        ValueError: the strategy is unknown, no layer matches, a matching weight is tied, or the shape does not fit.
        TypeError: a keyword is unknown, or ``shape`` and keywords are both given.
    """
    shape = MPOShape.collect(shape, shape_keywords)
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}; got {strategy!r}")
    targets = matching_linears(model, target_modules, exclude_modules)
    _refuse_tied_weights(model, targets)
    layers: dict[nn.Linear, MPOLinear] = {}  # all are built before the first is placed: an error leaves the model as is
    for name, linear in targets.items():
        if linear not in layers:
            layers[linear] = _converted(name, linear, shape, strategy, expand, expand_init)
    for name, linear in targets.items():
        place(model, name, layers[linear])
    return model


def _converted(
    name: str, linear: nn.Linear, shape: MPOShape, strategy: str, expand: int, expand_init: str
) -> MPOLinear:
    try:
        layer = MPOLinear.from_linear(linear, shape=shape)
        if strategy == "light":
            layer.freeze_central()
        if strategy in ("expand", "progressive"):
            layer.expand(expand, init=expand_init)
        if strategy == "progressive":
            train_cores(layer, "light")
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from problem
    return layer


def train_cores(layer: MPOLinear, stage: str) -> None:
    """Set which cores of a layer are trained.

    Args:
        layer: the layer, changed in place.
        stage: ``light``: all but the central core and expansion cores; ``full``: all but expansion cores; ``expand``:
            all.

    Raises:
        ValueError: the number of cores is even, so that there is no central one.
    """
    layer.unfreeze()
    layer.expansion.requires_grad_(stage == "expand")
    if stage == "light":
        layer.freeze_central()


def _refuse_tied_weights(model: nn.Module, targets: dict[str, nn.Linear]) -> None:
    owners: dict[nn.Parameter, str] = {}
    for name, module in model.named_modules():
        for key, parameter in module.named_parameters(prefix=name, recurse=False, remove_duplicate=False):
            owner = owners.setdefault(parameter, key)
            if owner != key and any(parameter is linear.weight for linear in targets.values()):
                raise ValueError(f"{key} and {owner} are one tied weight, which MPO layers cannot share: exclude it")


def mpo_layers(model: nn.Module) -> dict[str, MPOLinear]:
    """Return the MPO layers of a model by name; a layer with two names appears under both."""
    modules = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in modules if isinstance(module, MPOLinear)}


def merge_mpo(model: nn.Module) -> nn.Module:
    """Replace every MPO layer of a model by an ``nn.Linear`` with the merged weight, in place.

    The state dict then has the keys of the dense model. A weight is trainable unless all its cores are frozen.

    Returns:
        The model; if it is an MPO layer itself, a new ``nn.Linear``.

    Raises:
        RuntimeError: it is called inside ``merged``.
    """
    layers = mpo_layers(model)
    if any(layer.holds_weight for layer in layers.values()):
        raise RuntimeError("merge_mpo cannot replace layers inside merged(): leave its block first")
    dense = {layer: layer.to_linear() for layer in set(layers.values())}
    if isinstance(model, MPOLinear):
        return dense[model]
    for name, layer in layers.items():
        place(model, name, dense[layer])
    return model


def dense_state_dict(model: nn.Module) -> "OrderedDict[str, Tensor]":
    """Return the state dict of the dense model, with a merged ``weight`` instead of cores; the model is unchanged."""
    layers = {f"{name}." if name else "": layer for name, layer in mpo_layers(model).items()}
    dense: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in model.state_dict().items():
        prefix = next((prefix for prefix in layers if key.startswith(prefix)), None)
        if prefix is None:
            dense[key] = value
            continue
        if prefix + "weight" not in dense:  # before the bias, as in nn.Linear
            dense[prefix + "weight"] = layers[prefix].dense_weight()
        if key == prefix + "bias":
            dense[key] = value
    return dense


@contextmanager
def merged(model: nn.Module) -> Iterator[nn.Module]:
    """Merge every MPO weight of a model once, for evaluation inside a ``with`` block.

    The weights are merged at entry and dropped at exit. Gradients are off inside. Blocks may be nested.

    A cache without such a block could not know when it is out of date: fused optimizers change parameters without
    changing their version counters.

    Args:
        model: the model, in evaluation mode.

    Yields:
        The model.

    Raises:
        RuntimeError: the model is in training mode; or, inside the block, it is trained or its cores are replaced.
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
    """Return the number of trainable parameters and of all parameters; shared ones are counted once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)


def print_trainable_parameters(model: nn.Module) -> None:
    """Print the parameter counts in peft's format: ``trainable params: … || all params: … || trainable%: …``."""
    trainable, total = get_nb_trainable_parameters(model)
    share = 100 * trainable / total if total else 0.0
    print(f"trainable params: {trainable:,d} || all params: {total:,d} || trainable%: {share:.4f}")
