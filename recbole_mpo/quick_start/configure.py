"""From names and settings to a model's classes and a checked configuration."""

from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import settings_of
from recbole_mpo.common.values import check_dataset_name
from recbole_mpo.data.atomic_files import Fields, find_layout
from recbole_mpo.quick_start.registry import ModelSpec, find_model
from recbole_mpo.quick_start.task_settings import check_tasks

# Settings of ids that stand in the scores alone.
OF_IDS = ("id_size", "id_dropout_prob", "id_lr_multiplier")
# Settings that are read only under a value of another one: settings, the other one, its value, and what it means.
READ_WITH = (
    (("held_out_users", "feature_statistics"), "domains", None, "domains, that is, outside of pre-training"),
    (("id_side", *OF_IDS), "item_input", "text+id", "item_input=text+id"),
    (OF_IDS, "id_side", "output", "id_side=output"),
    (("patch_reduction",), "adapter", "patches", "adapter=patches"),
    (("mask_ratio",), "pretrain_mode", "masked", "pretrain_mode=masked"),
    (("mpo_stage_patience",), "mpo_strategy", "progressive", "mpo_strategy=progressive"),
)
# Settings that choose a share of the users.
SHARES = ("train_users", "eval_users")
# The model that reads a second dataset.
SOURCE_READER = "CCDR"


def make_config(model: str, dataset: str, config_files=(), overrides=None, stored=None) -> tuple[ModelSpec, MPOConfig]:
    """Return the model's classes and the checked settings of one run, without reading data.

    Args:
        model: name of the model in any capitalisation.
        dataset: name of the dataset.
        config_files: YAML files; later files override earlier ones.
        overrides: settings that override the files.
        stored: settings of a checkpoint, which files and overrides override; those that the model does not use are
            ignored.

    Raises:
        ConfigError: the model is unknown, or settings are wrong or do not fit together.
    """
    check_dataset_name("dataset", dataset)
    spec = find_model(model)
    config = MPOConfig(spec.model_class, spec.name, dataset, config_files, overrides, stored)
    if spec.name == SOURCE_READER and config["ccdr_source"]:
        check_dataset_name("ccdr_source", config["ccdr_source"])
    _check_model_takes(spec, config)
    if config["train_mode"] == "packed" and set(config["eval_args"]["mode"].values()) != {"full"}:
        raise ConfigError("sampled evaluation (eval_args mode) needs train_mode=pairwise; packed training ranks all")
    _refuse_idle_settings(spec, config)
    check_tasks(spec.name, config)
    for key in SHARES:
        if config[key] not in (None, 1) and config["train_mode"] != "packed":
            raise ConfigError(f"{key} needs train_mode=packed, which has the histories of each user")
    if config["count_flops"] and config["train_mode"] != "packed":
        raise ConfigError("count_flops counts a step on packed histories: leave train_mode=packed")
    if config["eval_loss"] and set(config["eval_args"]["mode"].values()) != {"full"}:
        raise ConfigError("eval_loss is over all items: leave mode=full in eval_args")
    if config["eval_history"] == "masked":
        _check_masked(config)
    return spec, config


def _refuse_idle_settings(spec: ModelSpec, config: MPOConfig):
    """Refuse settings that no code reads because of another one."""
    rows = settings_of(spec.name)
    for keys, other, value, meaning in READ_WITH:
        if other not in rows:
            continue
        is_read = bool(config[other]) if value is None else config[other] == value
        idle = [key for key in keys if key in rows and config[key] != rows[key].default]
        if idle and not is_read:
            raise ConfigError(f"{' and '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect without {meaning}")


def _check_masked(config: MPOConfig):
    if set(config["eval_args"]["mode"].values()) != {"full"}:
        raise ConfigError("eval_history=masked ranks among all items: leave mode=full in eval_args")
    if "gauc" in [metric.lower() for metric in config["metrics"]]:
        raise ConfigError("eval_history=masked has no GAUC, which RecBole computes with all items; leave it out")


def fit_to_layout(config: MPOConfig):
    """Set the keys by which RecBole reads the dataset's files, unless the settings have them.

    Raises:
        DataError: the dataset is missing.
    """
    layout = find_layout(config.data_root, config["dataset"]).as_text()
    fields = Fields.of(config)
    for key, value in layout.settings(fields.user, fields.item, fields.time, fields.list_suffix).items():
        config.set_default(key, value)


def _check_model_takes(spec: ModelSpec, config: MPOConfig):
    """Refuse values that other models accept but this one does not."""
    item_inputs = spec.model_class.item_inputs
    if item_inputs and config["item_input"] not in item_inputs:
        raise ConfigError(f"{spec.name} takes item_input={' or '.join(item_inputs)}, not {config['item_input']!r}")
    if spec.model_class.needs_packed and config["train_mode"] != "packed":
        raise ConfigError(f"{spec.name} reads whole histories: leave train_mode=packed")
