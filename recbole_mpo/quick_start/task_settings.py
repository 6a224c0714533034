"""Checks of the settings of tasks: whether they fit together, and whether each of them has an effect."""

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import settings_of
from recbole_mpo.common.values import as_list
from recbole_mpo.model.item_encoder import scores_by_ids
from recbole_mpo.model.task_weighting import LEARNED, WITHOUT_FIXED
from recbole_mpo.model.tasks import WITH_STATES, is_next_item_alone

# Tasks that take item vectors as they are.
WITH_VECTORS = ("ss", "rel", "mip")
# Settings that only several tasks have a use for.
OF_SEVERAL = ("task_weights", "task_weighting", "loss_norm", "cross_task")


def check_tasks(model: str, config):
    """Check the settings of tasks.

    Args:
        model: name of the model.
        config: settings of the run.

    Raises:
        ConfigError: they do not fit together, or one of them has no effect.
    """
    if config["train_mode"] != "packed" and not is_next_item_alone(config):
        raise ConfigError("tasks other than nip need train_mode=packed, which has whole histories")
    rows = settings_of(model)
    if "tasks" not in rows:
        return
    names = as_list(config["tasks"]) or ["nip"]
    if len(set(names)) < len(names):
        raise ConfigError(f"tasks names one of {', '.join(names)} twice")
    changed = [key for key in OF_SEVERAL if config[key] not in (rows[key].default, {})]
    if len(names) == 1 and changed:
        raise ConfigError(f"{changed[0]} is for several tasks, but tasks names {names[0]} alone")
    crossing = [name for name in names if name in WITH_VECTORS]
    if crossing and scores_by_ids(config):
        raise ConfigError(f"task {crossing[0]} compares item vectors, which have no ids here: set id_side=both")
    _check_weights(names, config)
    if config["weighting_lr_multiplier"] != rows["weighting_lr_multiplier"].default:
        if config["task_weighting"] not in LEARNED:
            raise ConfigError(f"weighting_lr_multiplier has no effect without task_weighting={' or '.join(LEARNED)}")
    _check_connection(names, config)


def _check_weights(names: list[str], config):
    weighting, weights = config["task_weighting"], config["task_weights"] or {}
    absent = [name for name in weights if name not in names]
    if absent:
        raise ConfigError(f"task_weights names {', '.join(absent)}, which tasks does not name")
    if weights and weighting in WITHOUT_FIXED:
        raise ConfigError(f"task_weighting={weighting} has weights of its own; leave task_weights out")


def _check_connection(names: list[str], config):
    if config["cross_task"] == "none":
        if config["fuse"] != "main":
            raise ConfigError(f"fuse={config['fuse']} has no effect without cross_task")
        return
    if len([name for name in names if name in WITH_STATES]) < 2:
        raise ConfigError(
            f"cross_task={config['cross_task']} connects the views of histories: tasks needs two of "
            f"{', '.join(WITH_STATES)}"
        )
