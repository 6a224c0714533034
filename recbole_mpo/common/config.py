"""Settings: layered YAML files and ``--key=value`` arguments, every key and type checked.

RecBole's ``Config`` is the base. What is replaced, and why: it reads ``sys.argv`` even as a library, evaluates
values as Python code, accepts any key, replaces ``eval_args`` as a whole (half of it silently becomes a random
split), moves ml-100k to its own copy, and overwrites ``CUDA_VISIBLE_DEVICES``.
"""

import copy
import math
from pathlib import Path

import torch
from recbole.config import Config
from recbole.utils import EvaluatorType

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.values import _Loader, read_yaml, suggestion

# Keys that RecBole or this package reads without giving them a default in a YAML file.
UNLISTED_KEYS = {"encoding", "loss_type", "reg_weight", "run_label"}
RUN_KEYS = {"model", "dataset"}
EVAL_ARGS = ("split", "order", "group_by", "mode")
# Worked out from the other settings, so not part of what a run was given.
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
LEAST = {
    "epochs": 0,
    "seed": 0,
    "learning_rate": 0,
    "initializer_range": 0,
    **dict.fromkeys(("train_batch_size", "eval_batch_size", "MAX_ITEM_LIST_LENGTH"), 1),
    **dict.fromkeys(("hidden_size", "inner_size", "n_layers", "n_heads", "n_exps", "mpo_num_cores"), 1),
    **dict.fromkeys(("sampled_items", "item_chunk", "pretrain_batch_size", "patch_reduction"), 1),
    **dict.fromkeys(("memory_factor", "memory_lr_multiplier", "pretrain_epochs", "save_step"), 0),
    **dict.fromkeys(("ccdr_words", "ccdr_clusters", "ccdr_negatives", "ccdr_inter_nodes", "ccdr_triggers"), 1),
    **dict.fromkeys(("ccdr_intra_weight", "ccdr_inter_weight"), 0),
}
# RecBole trains with Adam where it does not know the name.
LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop")
TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


class MPOConfig(Config):
    """RecBole's configuration object for one run.

    Args:
        model_class: the model's class.
        model_name: its canonical name, under which properties are found and records written.
        dataset: data set name.
        config_files: paths of YAML files, later ones win.
        overrides: settings that win over every file.
    """

    def __init__(self, model_class, model_name, dataset, config_files=(), overrides=None):
        self._model_name = model_name
        self._config_files = [str(path) for path in config_files]
        try:
            super().__init__(model_class, dataset, self._config_files, dict(overrides or {}))
        except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as problem:
            raise ConfigError(f"the settings do not fit together: {problem}") from problem

    def _init_parameters_category(self):
        super()._init_parameters_category()
        # RecBole appends to these lists, which are its module's globals.
        self.parameters = {category: list(names) for category, names in self.parameters.items()}

    def _build_yaml_loader(self):
        return _Loader

    def _load_config_files(self, file_list):
        settings = {}
        for path in file_list or ():
            layer = read_yaml(path)
            self._merge(settings, layer)
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
        """Updates ``base``; ``eval_args`` keep the keys that a layer does not name."""
        for key, value in layer.items():
            if key == "eval_args" and isinstance(value, dict) and isinstance(base.get(key), dict):
                base[key] = {**base[key], **value}
            else:
                base[key] = value

    def _get_model_and_dataset(self, model, dataset):
        return self._model_name, model, dataset

    def _load_internal_config_dict(self, model, model_class, dataset):
        super()._load_internal_config_dict(model, model_class, dataset)
        # Settings are inherited as the class is: TextSequentialRecommender.yaml, MPORec.yaml, MPORecLight.yaml.
        names = dict.fromkeys([*(parent.__name__ for parent in reversed(model_class.__mro__)), model])
        files = [find_property("overall"), find_property("dataset", dataset)]
        files += [find_property("model", name) for name in names]
        self._property_settings = {}
        for path in filter(None, files):
            self._merge(self._property_settings, read_yaml(path))
        self._merge(self.internal_config_dict, self._property_settings)
        self._check_external_keys()

    def _check_external_keys(self):
        known = self._known_keys()
        for key, value in self.external_config_dict.items():
            if key in DERIVED_KEYS - {"train_neg_sample_args"}:
                raise ConfigError(f"{key} is worked out from other settings and cannot be set")
            if key not in known:
                raise ConfigError(
                    f"unknown setting {key!r} for {self._model_name}{suggestion(key, known)}; "
                    "docs/settings.md lists them all"
                )
            self._check_type(key, value, self.internal_config_dict.get(key))
        self._check_run_keys()
        clip = self.external_config_dict.get("clip_grad_norm")
        if clip is not None and not isinstance(clip, dict):
            raise ConfigError(f"clip_grad_norm must be a mapping such as {{max_norm: 5}}, not {clip!r}")
        eval_args = self.external_config_dict.get("eval_args")
        for key in eval_args if isinstance(eval_args, dict) else ():
            if key not in EVAL_ARGS:
                raise ConfigError(f"unknown key {key!r} in eval_args{suggestion(str(key), EVAL_ARGS)}")

    def _check_run_keys(self):
        for key, actual in (("model", self._model_name), ("dataset", self.dataset)):
            given = self.external_config_dict.get(key, actual)
            if given != actual:
                raise ConfigError(f"{key} is {given!r} among the settings, but this run is of {actual!r}")

    def _known_keys(self) -> set[str]:
        listed = {name for names in self.parameters.values() for name in names}
        return listed | set(self.internal_config_dict) | UNLISTED_KEYS | RUN_KEYS

    @staticmethod
    def _check_type(key, value, default):
        expected = type(default)
        if value is None and expected in (bool, int, float):
            raise ConfigError(f"{key} must be {TYPE_NAMES[expected]}, not empty")
        if value is None or default is None or expected not in TYPE_NAMES:
            return
        accepted = {
            float: int | float,
            # A folder or a device may be called 0, and devices come as 0,1.
            str: str | int | float | list if key == "gpu_id" else str | int | float,
            # RecBole takes one name for a list of one.
            list: list | str | int,
        }.get(expected, expected)
        fits = isinstance(value, accepted) and isinstance(value, bool) == (expected is bool)
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            raise ConfigError(f"{key} must be {TYPE_NAMES[expected]}, not {value!r}")
        if key in LEAST and value < LEAST[key]:
            raise ConfigError(f"{key} must be at least {LEAST[key]}, not {value}")
        if key in ("temperature", "ccdr_temperature") and value <= 0:
            raise ConfigError(f"{key} must be above 0, not {value}")
        if key == "learner" and str(value).lower() not in LEARNERS:
            raise ConfigError(f"learner is {value!r}; choose one of {', '.join(LEARNERS)}")

    def _get_final_config_dict(self):
        final = copy.deepcopy(self.internal_config_dict)
        self._merge(final, copy.deepcopy(self.external_config_dict))
        if isinstance(final["gpu_id"], list):
            final["gpu_id"] = ",".join(map(str, final["gpu_id"]))
        for key, default in self.internal_config_dict.items():
            if isinstance(default, str) and final[key] is not None:
                final[key] = str(final[key])
        self._default_negative_sampling(final)
        self.data_root = str(final["data_path"])
        return final

    def _default_negative_sampling(self, final):
        """Cross-entropy over all items takes no sampled negatives; RecBole's default draws one and then fails."""
        if "train_neg_sample_args" not in self.external_config_dict:
            is_full_softmax = final.get("loss_type") == "CE" or self.model_class.trains_packed
            if is_full_softmax:
                final["train_neg_sample_args"] = None

    def _set_default_parameters(self):
        super()._set_default_parameters()
        self.final_config_dict["data_path"] = str(Path(self.data_root) / self.dataset)
        self._check_valid_metric()

    def _check_valid_metric(self):
        """RecBole looks for it after the first epoch only, and fails with a bare KeyError."""
        settings = self.final_config_dict
        if settings["eval_type"] != EvaluatorType.RANKING:
            return
        metrics = [metric.lower() for metric in settings["metrics"]]
        computed = [f"{metric}@{k}" for metric in metrics if metric != "gauc" for k in settings["topk"]]
        computed += ["gauc"] * ("gauc" in metrics)
        if settings["valid_metric"].lower() not in computed:
            raise ConfigError(
                f"valid_metric is {settings['valid_metric']!r}, which metrics and topk do not compute: choose one "
                f"of {', '.join(computed)}"
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
        """Sets what no property file, config file or command line has set."""
        if self.external_config_dict.get(key) is None and self._property_settings.get(key) is None:
            self.final_config_dict[key] = value

    def with_values(self, **values) -> "MPOConfig":
        """A copy for a part of the run to which other values apply."""
        changed = copy.copy(self)
        changed.final_config_dict = {**self.final_config_dict, **values}
        return changed

    def plain(self) -> dict:
        """What a run was given, as plain data for JSON and checkpoints; ``data_path`` as the user wrote it."""
        # Known keys alone: RecBole's data transforms write field names of their own into the settings.
        given = (self._known_keys() - DERIVED_KEYS) & self.final_config_dict.keys()
        plain = {key: _plain(self.final_config_dict[key]) for key in sorted(given)}
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
