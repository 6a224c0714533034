"""From names and settings to a model's classes and a checked configuration."""








from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.values import check_choice
from recbole_mpo.data.atomic_files import find_layout
from recbole_mpo.data.prepare.prepare import prepare_if_absent
from recbole_mpo.quick_start.registry import ModelSpec, find_model

CHOICES = {
    "train_mode": ("packed", "pairwise"),
    "eval_mode": ("ranks", "recbole"),
    "loss_type": ("CE", "BPR"),
}


def make_config(
    model: str, dataset: str, config_files=(), overrides=None, prepares=False
) -> tuple[ModelSpec, MPOConfig]:
    """The model's classes and the checked settings of one run."""
    spec = find_model(model)
    config = MPOConfig(spec.model_class, spec.name, dataset, config_files, overrides)
    for key, choices in CHOICES.items():
        if config[key] is not None:
            check_choice(key, config[key], choices)
    _check_model_takes(spec, config)
    if config["train_mode"] == "packed" and set(config["eval_args"]["mode"].values()) != {"full"}:
        raise ConfigError("sampled evaluation (eval_args mode) needs train_mode=pairwise; packed training ranks all")
    if prepares:
        prepare_if_absent(dataset, config.data_root, bool(config["show_progress"]))
    layout = find_layout(config.data_root, dataset)
    fields = (config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"], config["LIST_SUFFIX"])
    for key, value in layout.settings(*fields).items():
        config.set_default(key, value)
    return spec, config


def _check_model_takes(spec: ModelSpec, config: MPOConfig):
    """Refuses settings that other models know and this one has no use for."""
    item_inputs = spec.model_class.item_inputs
    if item_inputs and config["item_input"] not in item_inputs:
        raise ConfigError(f"{spec.name} takes item_input={' or '.join(item_inputs)}, not {config['item_input']!r}")
    if config["loss_type"] is not None and spec.model_class.trains_packed:
        raise ConfigError(f"{spec.name} has its own loss; leave loss_type out")
    if spec.model_class.needs_packed and config["train_mode"] != "packed":
        raise ConfigError(f"{spec.name} reads whole histories: leave train_mode=packed")
