"""From names and settings to a model's classes and a checked configuration."""

from recbole_mpo.common.config import MPOConfig
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.schema import defaults_of
from recbole_mpo.common.values import check_dataset_name
from recbole_mpo.data.atomic_files import Fields, find_layout
from recbole_mpo.model.tasks import is_next_item_alone
from recbole_mpo.quick_start.registry import ModelSpec, find_model

# Settings that only a run on several datasets reads.
OF_DOMAINS = ("held_out_users", "feature_statistics")
# The model that reads a second dataset.
SOURCE_READER = "CCDR"


def make_config(
    model: str, dataset: str, config_files=(), overrides=None, stored=None
) -> tuple[ModelSpec, MPOConfig]:
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
    if not config["domains"]:
        _refuse_settings_of_domains(spec, config)
    if config["train_mode"] != "packed" and not is_next_item_alone(config):
        raise ConfigError("tasks other than nip need train_mode=packed, which has whole histories")
    if config["eval_history"] == "masked":
        _check_masked(config)
    return spec, config


def _refuse_settings_of_domains(spec: ModelSpec, config: MPOConfig):
    """Refuse settings that only pre-training on several datasets reads."""
    defaults = defaults_of(spec.name)
    idle = [key for key in OF_DOMAINS if key in defaults and config[key] != defaults[key]]
    if idle:
        raise ConfigError(f"{' and '.join(idle)} have no effect without domains, that is, outside of pre-training")


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
    layout = find_layout(config.data_root, config["dataset"])
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
