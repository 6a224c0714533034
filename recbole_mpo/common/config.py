"""Settings of a run: layered YAML files and ``--key=value`` arguments, every key and value checked.

RecBole's ``Config`` is the base class. Parts of it are replaced, because it reads ``sys.argv`` even when used as a
library, evaluates values as Python code, accepts any key, replaces ``eval_args`` as a whole (an incomplete one silently
becomes a random split), reads ml-100k from its own copy, and overwrites ``CUDA_VISIBLE_DEVICES``.
"""

import copy
import logging
from importlib.util import find_spec
from pathlib import Path

import torch
from recbole.config import Config
from recbole.evaluator.register import metric_types
from recbole.utils import EvaluatorType

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.foreign import as_config_error
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.recbole_globals import restore_numpy_names
from recbole_mpo.common.schema import read_schema, recbole_model_settings
from recbole_mpo.common.setting import KIND_OF_TYPE, Setting
from recbole_mpo.common.values import YamlLoader, as_list, read_yaml, shown, suggestion

logger = logging.getLogger(__name__)

RUN_KEYS = {"model", "dataset"}
# Computed from the other settings, so they are not stored with a run's settings.
DERIVED_KEYS = {
    "MODEL_TYPE",
    "MODEL_INPUT_TYPE",
    "eval_type",
    "valid_metric_bigger",
    "train_neg_sample_args",
    "valid_neg_sample_args",
    "test_neg_sample_args",
    "device",
    "single_spec",
    "local_rank",
}
# Read by functions of RecBole that are not called here.
IDLE_KEYS = {"save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"}
# Columns that mean different things, so that no two can be one.
COLUMN_KEYS = ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD", "ITEM_LIST_LENGTH_FIELD", "LABEL_FIELD")


class MPOConfig(Config):
    """RecBole's configuration object for one run.

    Args:
        model_class: the model's class.
        model_name: its canonical name, used to find property files and in records.
        dataset: the dataset's name.
        config_files: paths of YAML files, or their content; later ones win.
        overrides: settings that win over every file.
        stored: the settings of a checkpoint; files and overrides win over them, and those that the model no longer uses
            are dropped.

    Raises:
        ConfigError: a setting is unknown, not used by the model, mistyped, out of range or contradictory.
    """

    def __init__(self, model_class, model_name, dataset, config_files=(), overrides=None, stored=None):
        self._model_name = model_name
        self._schema = read_schema()
        self._config_files = [path if isinstance(path, dict) else str(path) for path in config_files]
        self._stored = stored or {}
        with as_config_error("the settings do not fit together"):
            super().__init__(model_class, dataset, self._config_files, dict(overrides or {}))

    def compatibility_settings(self):
        """Give numpy the names that RecBole's code reads; RecBole's own way does not work with numpy 2."""
        restore_numpy_names()

    def _init_parameters_category(self):
        super()._init_parameters_category()
        # RecBole appends to these lists, which are globals of its module.
        self.parameters = {category: list(names) for category, names in self.parameters.items()}

    def _build_yaml_loader(self):
        return YamlLoader

    def _load_config_files(self, file_list):
        settings = {}
        for path in file_list or ():
            self._merge(settings, path if isinstance(path, dict) else read_yaml(path))
        return settings

    def _load_cmd_line(self):
        return {}

    def _convert_config_dict(self, config_dict):
        return config_dict

    def _merge_external_config_dict(self):
        self.external_config_dict = copy.deepcopy(self.file_config_dict)
        self._merge(self.external_config_dict, self.variable_config_dict)

    @staticmethod
    def _merge(base: dict, layer: dict):
        """Update ``base`` with ``layer``; keys of ``eval_args`` that are not in ``layer`` are kept."""
        for key, value in layer.items():
            if key == "eval_args" and isinstance(value, dict) and isinstance(base.get(key), dict):
                base[key] = {**base[key], **value}
            else:
                base[key] = value

    def _get_model_and_dataset(self, model, dataset):
        return self._model_name, model, dataset

    def _load_internal_config_dict(self, model, model_class, dataset):
        super()._load_internal_config_dict(model, model_class, dataset)
        self._merge(self.internal_config_dict, self._defaults())
        self._property_settings = self._read_properties()
        self._merge(self.internal_config_dict, self._property_settings)
        used_keys = self._used_keys()
        for key, value in self.external_config_dict.items():
            self._check_key(key, used_keys)
            self._check_value(key, value)
            if key in IDLE_KEYS and value:
                raise ConfigError(f"{key} has no effect here, where nothing is saved for RecBole; leave it out")
        self._add_stored(used_keys)
        self._check_run_keys()

    def _defaults(self) -> dict:
        """Return the schema's defaults; RecBole's settings file for one of its own models wins over them."""
        is_recboles = self._schema.is_recboles(self._model_name)
        recbole_keys = recbole_model_settings(self._model_name) if is_recboles else ()
        return {
            key: setting.default
            for key, setting in self._schema.settings_of(self._model_name).items()
            if setting.has_default and key not in recbole_keys
        }

    def _read_properties(self) -> dict:
        """Return the settings of the property files; files of the model's parent classes are inherited.

        The file with the model's own name may hold only settings that the model uses; from the others it takes those
        that it uses.
        """
        settings = {}
        parents = dict.fromkeys(parent.__name__ for parent in reversed(self.model_class.__mro__))
        parents.pop(self._model_name, None)
        shared = [find_property("overall"), find_property("dataset", self.dataset)]
        shared += [find_property("model", name) for name in parents]
        for path in filter(None, shared):
            self._merge(settings, self._schema.for_model(self._read_property(path), self._model_name))
        model_file = find_property("model", self._model_name)
        if model_file:
            self._merge(settings, self._read_property(model_file, self._model_name))
        return settings

    def _read_property(self, path: Path, model: str | None = None) -> dict:
        """Return the settings of a property file after checking their values and, if given a ``model``, their use."""
        settings = read_yaml(path)
        try:
            for key in settings.keys() & self._schema.settings.keys():
                self._schema.settings[key].check(settings[key], may_be_left_out=True)
                if model:
                    self._schema.check_use(model, key)
        except ConfigError as problem:
            raise ConfigError(f"{path}: {problem}") from problem
        return settings

    def _add_stored(self, used_keys: set[str]):
        """Put the checkpoint's settings below the given ones; drop those that the model does not use."""
        dropped = [key for key in self._stored if key not in used_keys]
        if dropped:
            logger.warning(
                "settings of the checkpoint that %s does not use are dropped: %s",
                self._model_name,
                ", ".join(sorted(dropped)),
            )
        given_settings = self.external_config_dict
        self.external_config_dict = {key: value for key, value in self._stored.items() if key in used_keys}
        for key in self.external_config_dict.keys() & self._schema.settings.keys():
            # RecBole's own keys are not checked: RecBole may have changed them before they were stored.
            self._check_value(key, self.external_config_dict[key])
        self._merge(self.external_config_dict, given_settings)

    def _used_keys(self) -> set[str]:
        """Return all keys that a run of the model may be given, including RecBole's."""
        rows = self._schema.settings.keys()
        recbole_keys = {name for names in self.parameters.values() for name in names} | self.internal_config_dict.keys()
        return (recbole_keys - rows) | {key for key in rows if self._schema.uses(self._model_name, key)} | RUN_KEYS

    def _check_key(self, key: str, used_keys: set[str]):
        if key in DERIVED_KEYS - {"train_neg_sample_args"}:
            raise ConfigError(f"{key} is computed from other settings and cannot be set")
        if key == "loss_type" and self.model_class.trains_packed:
            raise ConfigError(f"{self._model_name} has its own loss; leave loss_type out")
        if key in self._schema.settings:
            self._schema.check_use(self._model_name, key, used_keys)
        if key not in used_keys:
            raise ConfigError(
                f"unknown setting {key!r} for {self._model_name}{suggestion(key, used_keys)}; "
                "docs/settings.md lists them all"
            )

    def _check_value(self, key: str, value):
        default = self.internal_config_dict.get(key)
        setting = self._schema.settings.get(key) or self._schema.recbole.get(key)
        if setting is None and default is not None and type(default) in KIND_OF_TYPE:
            # RecBole's own key: its default decides its kind. A single name is taken as a list of one.
            setting = Setting(key, KIND_OF_TYPE[type(default)], single=True)
        if setting is not None:
            setting.check(value, may_be_left_out=default is None)

    def _check_run_keys(self):
        for key, actual in (("model", self._model_name), ("dataset", self.dataset)):
            value = self.external_config_dict.get(key, actual)
            if value != actual:
                raise ConfigError(f"{key} is {value!r} in the settings, but this run uses {actual!r}")

    def _get_final_config_dict(self):
        final = copy.deepcopy(self.internal_config_dict)
        self._merge(final, copy.deepcopy(self.external_config_dict))
        for key, value in final.items():
            setting = self._schema.settings.get(key)
            if setting is not None:
                final[key] = setting.final(value)
            elif isinstance(self.internal_config_dict.get(key), str) and value is not None:
                final[key] = str(value)
        self._check_together(final)
        self._default_negative_sampling(final)
        self.data_root = str(final["data_path"])
        return final

    @staticmethod
    def _check_together(settings: dict):
        """Refuse values that are right alone and not together; RecBole fails on them later, or never."""
        name, cut_off = Setting("metrics", "text", choices=tuple(metric_types)), Setting("topk", "int", at_least=1)
        Setting("metrics", "list", at_least=1, each=name).check(list(map(str.lower, as_list(settings["metrics"]))))
        Setting("topk", "list", at_least=1, each=cut_off, single=True).check(settings["topk"])
        Setting("valid_metric", "text", filled=True).check(settings["valid_metric"])
        keys: dict[str, str] = {}
        for key in COLUMN_KEYS:
            name = settings[key]
            if name in keys:
                raise ConfigError(f"{keys[name]} and {key} are both {name!r}; they are different columns")
            keys[name] = key
        split = (settings["eval_args"] or {}).get("split")
        if not isinstance(split, dict) or len(split) != 1:
            raise ConfigError(f"eval_args.split must be one of LS, RS and TS, not {split!r}")
        if settings["log_wandb"] and find_spec("wandb") is None:
            raise ConfigError("log_wandb needs the package wandb, which is not installed: pip install wandb")

    def _default_negative_sampling(self, final):
        """Turn negative sampling off for cross-entropy over all items; RecBole's default draws one and then fails."""
        if "train_neg_sample_args" not in self.external_config_dict:
            is_full_softmax = final.get("loss_type") == "CE" or self.model_class.trains_packed
            if is_full_softmax:
                final["train_neg_sample_args"] = None

    def _set_default_parameters(self):
        super()._set_default_parameters()
        self.final_config_dict["data_path"] = str(Path(self.data_root) / self.dataset)
        self.check_valid_metric()

    def check_valid_metric(self):
        """Raise ConfigError if ``valid_metric`` is not computed; RecBole fails with a KeyError after an epoch."""
        settings = self.final_config_dict
        if settings["eval_type"] != EvaluatorType.RANKING:
            return
        metrics = [metric.lower() for metric in settings["metrics"]]
        computed = [f"{metric}@{k}" for metric in metrics if metric != "gauc" for k in settings["topk"]]
        computed += ["gauc"] * ("gauc" in metrics)
        if settings["valid_metric"].lower() not in computed:
            raise ConfigError(
                f"valid_metric is {shown(settings['valid_metric'])}, which metrics and topk do not give; choose one of "
                f"{', '.join(computed)}"
            )

    def _init_device(self):
        settings = self.final_config_dict
        gpu = "" if settings["gpu_id"] is None else str(settings["gpu_id"]).split(",")[0].strip()
        use_gpu = settings["use_gpu"] and gpu != "" and torch.cuda.is_available()
        if use_gpu and not (gpu.isdigit() and int(gpu) < torch.cuda.device_count()):
            raise ConfigError(f"gpu_id is {gpu!r}; this machine's devices are 0 to {torch.cuda.device_count() - 1}")
        settings["device"] = torch.device(f"cuda:{gpu}") if use_gpu else torch.device("cpu")
        settings["single_spec"] = True
        settings["local_rank"] = 0

    def set_default(self, key: str, value):
        """Set a value that no property file, config file or command line has set."""
        if self.external_config_dict.get(key) is None and self._property_settings.get(key) is None:
            self.final_config_dict[key] = value

    def with_values(self, **values) -> "MPOConfig":
        """Return a copy with other values, for one part of the run."""
        changed = copy.copy(self)
        changed.final_config_dict = {**self.final_config_dict, **values}
        return changed

    def suspects(self) -> str:
        """Return words for the settings of RecBole's given to this run, which may be why its code fails on the data."""
        given = self.external_config_dict
        keys = [key for key in given if key == "eval_args" or key not in self._schema.settings.keys() | RUN_KEYS]
        words = [f"{key}={shown(given[key])}" for key in keys if given[key] != self.internal_config_dict.get(key)]
        return f" with {', '.join(words)}" if words else ""

    def plain(self) -> dict:
        """Return the settings that the model uses, as plain data for JSON; ``data_path`` is as the user wrote it."""
        # Only these: RecBole's data transforms add field names to the settings.
        keys = (self._used_keys() - DERIVED_KEYS) & self.final_config_dict.keys()
        plain = {key: _plain(self.final_config_dict[key]) for key in sorted(keys)}
        plain["data_path"] = self.data_root
        if "train_neg_sample_args" in self.external_config_dict:
            plain["train_neg_sample_args"] = _plain(self.external_config_dict["train_neg_sample_args"])
        return plain


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
