"""Which parameters the optimizer updates, and with which learning rate."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recbole_mpo.common.errors import CheckpointError, ConfigError
from recbole_mpo.model.parameters import core_names, group_of
from recbole_mpo.model.scoring import ITEM_IDS
from recbole_mpo.model.task_weighting import WEIGHTING

# Settings that scale the learning rate of a kind of parameters.
MULTIPLIERS = ("mpo_lr_multiplier", "evidence_lr_multiplier", "weighting_lr_multiplier", "id_lr_multiplier")
# What the optimizer does otherwise with some kinds.
_OPTIONS = {"evidence_lr_multiplier": {"weight_decay": 0.0}, "weighting_lr_multiplier": {"weight_decay": 0.0}}


def optimizer_groups(
    model: nn.Module, learning_rate: float, multipliers: Mapping[str, float] | None = None
) -> list[dict]:
    """Return the optimizer's groups of trainable parameters: a group per kind that has a learning rate of its own.

    The weights of tasks and of evidence do not decay.

    Args:
        model: the model.
        learning_rate: the learning rate.
        multipliers: by what it is multiplied, by the settings of ``MULTIPLIERS``; 1 for those left out. Each is for one
            kind: MPO cores, evidence, ids in the scores alone, and what weighs the losses of several tasks.

    Raises:
        ConfigError: all parameters are frozen.
    """
    multipliers = multipliers or {}
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kinds = _kinds(model, trainable)
    rest = trainable.keys() - set().union(*kinds.values())
    if trainable.keys() == kinds["weighting_lr_multiplier"]:
        raise ConfigError("nothing is left to train: freeze names every group of the model")
    named = [(names, multipliers.get(key, 1.0), _OPTIONS.get(key, {})) for key, names in kinds.items()]
    groups = [
        {
            "params": [parameter for name, parameter in trainable.items() if name in names],
            "lr": learning_rate * multiplier,
            **options,
        }
        for names, multiplier, options in [*named, (rest, 1.0, {})]
    ]
    return [group for group in groups if group["params"]]


def _kinds(model: nn.Module, trainable: Mapping[str, nn.Parameter]) -> dict[str, set[str]]:
    """Return the names of the parameters of each kind, by the setting of its learning rate."""
    cores = core_names(model) & trainable.keys()
    return {
        "mpo_lr_multiplier": cores,
        "evidence_lr_multiplier": {name for name in trainable if group_of(name) == "evidence"},
        "weighting_lr_multiplier": {name for name in trainable if name.startswith(WEIGHTING)},
        # A matrix of these may be cores too.
        "id_lr_multiplier": {name for name in trainable if name.startswith(ITEM_IDS)} - cores,
    }


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict, path):
    """Give an optimizer the state of a checkpoint, after checking it; torch does not, and fails in a later step.

    Settings such as the learning rate stay those of the optimizer: a run is resumed with the same ones.

    Args:
        optimizer: the optimizer, changed in place.
        state: its former ``state_dict()``.
        path: file of the checkpoint, for messages.

    Raises:
        CheckpointError: the state is of another optimizer or of other parameters.
    """
    now = optimizer.state_dict()
    numbers = [group["params"] for group in now["param_groups"]]
    if [group.get("params") for group in state["param_groups"]] != numbers:
        raise CheckpointError(f"checkpoint {path} has an optimizer of other parameters, so it cannot be resumed")
    parameters = dict(zip(sum(numbers, []), _parameters(optimizer), strict=True))
    like = _state_after_a_step(optimizer)
    for number, entries in state["state"].items():
        if number not in parameters or not _fits(entries, like, parameters[number]):
            raise CheckpointError(
                f"checkpoint {path} has an optimizer whose state of parameter {number} does not fit the model or is "
                "not finite, so it cannot be resumed"
            )
    optimizer.load_state_dict({"state": state["state"], "param_groups": now["param_groups"]})


def _parameters(optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _state_after_a_step(optimizer) -> dict:
    """Return the state that an optimizer of this class and these settings keeps of a parameter of shape [2, 3]."""
    parameter = nn.Parameter(torch.zeros(2, 3, device=_parameters(optimizer)[0].device))
    gradient = torch.zeros_like(parameter)
    parameter.grad = gradient.to_sparse() if isinstance(optimizer, torch.optim.SparseAdam) else gradient
    settings = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
    probe = type(optimizer)([{**settings, "params": [parameter]}])
    probe.step()
    return dict(probe.state[parameter])


def _fits(entries: dict, like: dict, parameter: Tensor) -> bool:
    """Return whether the entries are those of ``like``, which is of a parameter of shape [2, 3]."""
    if entries.keys() != like.keys():
        return False
    for key, expected in like.items():
        value = entries[key]
        if not isinstance(expected, Tensor):
            if type(value) is not type(expected):
                return False
            continue
        shape = parameter.shape if expected.shape == (2, 3) else expected.shape
        if not isinstance(value, Tensor) or value.shape != shape or not value.is_floating_point():
            return False
        if not bool(value.isfinite().all()):
            return False
    return True
