"""Find and replace linear layers of a model by their names.

Legend: a name is a module's dotted path in the model.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn


def matching_linears(
    model: nn.Module, targets: str | Sequence[str], excluded: str | Sequence[str] | None = None
) -> dict[str, nn.Linear]:
    """Return the linear layers of a model that match ``targets`` and not ``excluded``, by name.

    A layer used under two names appears under both. The model itself is never among them.

    Args:
        model: the model to search.
        targets: names or their dotted endings, patterns such as ``moe_adaptor.experts.*.lin``, or ``all-linear``.
        excluded: names or patterns of layers to leave out.

    Raises:
        ValueError: no layer matches; the message lists the linear layers.
    """
    # The model itself has no parent in which it could be replaced: its name is empty.
    linears = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name and isinstance(module, nn.Linear)
    }
    excluded = excluded or ()
    matching = {
        name: module
        for name, module in linears.items()
        if (targets == "all-linear" or _matches(name, targets)) and not _matches(name, excluded)
    }
    if not matching:
        available = ", ".join(linears) or "none"
        raise ValueError(
            f"target_modules {targets!r} (exclude_modules {excluded!r}) match no linear layer; "
            f"the model's linear layers: {available}"
        )
    return matching


def _matches(name: str, patterns: str | Sequence[str]) -> bool:
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}") for pattern in patterns)


def place(model: nn.Module, name: str, module: nn.Module) -> None:
    """Replace the module ``name`` of a model by ``module``."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
