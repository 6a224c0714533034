"""Which parameters the optimizer updates, and with which learning rate."""

from torch import nn

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.model.parameters import core_names, group_of


def optimizer_groups(
    model: nn.Module, learning_rate: float, mpo_lr_multiplier: float = 1.0, memory_lr_multiplier: float = 1.0
) -> list[dict]:
    """Return the optimizer's groups of trainable parameters: MPO cores, the memory's weight, and the rest.

    Args:
        model: the model.
        learning_rate: learning rate of the rest.
        mpo_lr_multiplier: multiplies the learning rate of the cores.
        memory_lr_multiplier: multiplies the learning rate of the memory's weight.

    Raises:
        ConfigError: all parameters are frozen.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trainable:
        raise ConfigError("nothing is left to train: freeze names every group of the model")
    cores = core_names(model)
    memory = {name for name in trainable if group_of(name) == "memory"}
    named = [(cores, mpo_lr_multiplier), (memory, memory_lr_multiplier), (trainable.keys() - cores - memory, 1.0)]
    groups = [
        {
            "params": [parameter for name, parameter in trainable.items() if name in names],
            "lr": learning_rate * multiplier,
        }
        for names, multiplier in named
    ]
    return [group for group in groups if group["params"]]
