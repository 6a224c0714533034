"""Groups of parameters: their names, freezing, and counts."""

from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import as_list
from recbole_mpo.layers.mpo.linear import MPOLinear

# The first matching prefix gives a parameter's group.
GROUP_PREFIXES = {
    "moe_adaptor.": "adaptor",
    "text_projection.": "adaptor",
    "trm_encoder.": "encoder",
    "position_embedding.": "positions",
    "LayerNorm.": "layer_norm",
    "item_embedding.": "item_ids",
    "item_ids.": "item_ids",
    "evidence.": "evidence",
    "cross_task.": "connection",
    "domains.": "nodes",
    "encoder.": "aggregator",
    "convolutions.": "convolutions",
    "patches.": "patches",
    "cls_vector": "cls",
    "mask_vector": "mask",
    "head.": "head",
}

# Part of the names of patches in a Transformer, whose other parameters are the encoder's.
PATCH_PART = ".patch."


def group_of(name: str) -> str:
    """Return the group of a parameter by its name; ``other`` if no prefix matches."""
    if PATCH_PART in name:
        return "patches"
    return next((group for prefix, group in GROUP_PREFIXES.items() if name.startswith(prefix)), "other")


def freeze(model: nn.Module, groups):
    """Freeze all parameters of the named groups.

    Args:
        model: the model, changed in place.
        groups: name or list of names; None for no group.

    Raises:
        ConfigError: a group is unknown, or the model has no parameter in it.
    """
    groups = as_list(groups)
    present = {group_of(name) for name, _ in model.named_parameters()}
    for group in groups:
        if group not in present:
            raise ConfigError(f"freeze names {group!r}; this model's groups are {', '.join(sorted(present))}")
    for name, parameter in model.named_parameters():
        if group_of(name) in groups:
            parameter.requires_grad_(False)


def core_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters that are MPO cores, inserted ones included."""
    return {
        f"{module_name}.{name}" if module_name else name
        for module_name, module in model.named_modules()
        if isinstance(module, MPOLinear)
        for name, _ in module.named_parameters(recurse=True)
        if name.startswith(("cores.", "expansion."))
    }


def count_parameters(model: nn.Module) -> dict:
    """Return the number of parameters, in total and by group.

    The total includes the frozen table of text features with its PAD row, as in the paper's Table 6.

    Returns:
        ``{"total", "trainable", "by_group": {group: {"total", "trainable"}}}``.
    """
    by_group: dict[str, dict[str, int]] = {}

    def add(group: str, size: int, trained: bool):
        counts = by_group.setdefault(group, {"total": 0, "trainable": 0})
        counts["total"] += size
        counts["trainable"] += size * trained

    cores = core_names(model)
    for name, parameter in model.named_parameters():
        group = f"{group_of(name)} (cores)" if name in cores else group_of(name)
        add(group, parameter.numel(), parameter.requires_grad)
    if model.feature_size:
        add("item_features (frozen text)", model.n_items * model.feature_size, False)
    return {
        "total": sum(counts["total"] for counts in by_group.values()),
        "trainable": sum(counts["trainable"] for counts in by_group.values()),
        "by_group": by_group,
    }


def parameter_table(counts: dict) -> str:
    """Return the counts as aligned text, one group per line."""
    rows = [("group", "total", "trainable")]
    rows += [(g, f"{c['total']:,}", f"{c['trainable']:,}") for g, c in counts["by_group"].items()]
    rows.append(("all", f"{counts['total']:,}", f"{counts['trainable']:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"  {group:<{widths[0]}}  {total:>{widths[1]}}  {trainable:>{widths[2]}}" for group, total, trainable in rows
    )
