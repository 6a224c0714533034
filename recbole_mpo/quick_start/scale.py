"""The size of a run for its record: parameters without tables of items, examples, and compute."""

from recbole_mpo.data.loader import EpochLoader, HistoryLoader
from recbole_mpo.model.parameters import count_parameters
from recbole_mpo.trainer.step_flops import step_flops

# Groups of parameters that grow with the number of items: ids, and the frozen features.
ITEM_GROUPS = ("item_ids", "item_features (frozen text)")


def step_flops_of(experiment, model) -> int | None:
    """Return the floating point operations of a run's first training step; None unless ``count_flops`` is set."""
    if not experiment.config["count_flops"]:
        return None
    return step_flops(model, next(iter(experiment.data.loaders[0])), experiment.config["device"])


def scale_of(loader, model, epochs: int, flops_per_step: int | None) -> dict[str, dict]:
    """Return the size of a run that trained on packed batches as its record's ``scale``; ``{}`` for other runs.

    Args:
        loader: loader of the training part.
        model: the model.
        epochs: number of epochs that were run.
        flops_per_step: floating point operations of a step, if they were counted.

    Returns:
        ``{"scale": {...}}`` with ``train_users``, ``train_rows`` (targets) and ``train_tokens`` (positions) of an
        epoch, ``steps_per_epoch``; ``non_embedding`` parameters, which are all but the tables of items, MPO weights as
        their cores; and over all epochs ``steps``, ``examples_seen`` (targets), ``flops_6nd`` (six times those
        parameters times positions) and, if they were counted, ``flops_per_step`` and ``flops``.
    """
    if not isinstance(loader, EpochLoader) or isinstance(loader, HistoryLoader):
        return {}
    users, rows, tokens = loader.sizes()
    groups = count_parameters(model)["by_group"]
    size = sum(counts["total"] for group, counts in groups.items() if group not in ITEM_GROUPS)
    steps = len(loader) * epochs
    counted = {} if flops_per_step is None else {"flops_per_step": flops_per_step, "flops": flops_per_step * steps}
    scale = {
        "train_users": users,
        "train_rows": rows,
        "train_tokens": tokens,
        "steps_per_epoch": len(loader),
        "non_embedding": size,
        "steps": steps,
        "examples_seen": rows * epochs,
        "flops_6nd": 6 * size * tokens * epochs,
    }
    return {"scale": scale | counted}
