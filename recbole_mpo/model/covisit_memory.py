"""A memory for a model: a table that counts neighbouring items in training histories."""

from dataclasses import dataclass

import torch

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.data.training_counts import counts_hash, training_transitions
from recbole_mpo.layers.item_memory import ItemMemory


@dataclass(frozen=True)
class CovisitMemory:
    """A memory of the items that were neighbours in training histories.

    Attributes:
        module: the layer that adds to logits.
        counts_hash: hash of its counts.
    """

    module: ItemMemory
    counts_hash: str


def make_memory(config, dataset) -> CovisitMemory | None:
    """Return the memory that the setting ``memory`` names, made from the training part of a dataset.

    Raises:
        ConfigError: the loss or the training mode cannot be used with a memory.
    """
    if config["memory"] == "none":
        return None
    if config["loss"] == "sampled" or config["train_mode"] != "packed":
        raise ConfigError("memory=covisit needs train_mode=packed and a loss over all items (loss=full or chunked)")
    counts = training_transitions(dataset)
    counts = (counts + counts.T).tocsr()
    tables = (torch.from_numpy(table) for table in (counts.indptr, counts.indices, counts.data))
    weights = [float(weight) for weight in config["recent_weights"]]
    return CovisitMemory(ItemMemory(*tables, weights, config["memory_factor"]), counts_hash(counts))
