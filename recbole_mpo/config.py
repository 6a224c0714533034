"""Settings: layered YAML files and ``--key=value`` arguments, every key and type checked.

RecBole's ``Config`` is the base. What is replaced, and why: it reads ``sys.argv`` even as a library, evaluates
values as Python code, accepts any key, replaces ``eval_args`` as a whole (half of it silently becomes a random
split), moves ml-100k to its own copy, and overwrites ``CUDA_VISIBLE_DEVICES``.
"""

import copy
import difflib
import re
from pathlib import Path

import torch
import yaml
from recbole.config import Config

from recbole_mpo.errors import ConfigError
from recbole_mpo.property_files import find_property

# Keys that RecBole or this package reads without giving them a default in a YAML file.
UNLISTED_KEYS = {"encoding", "loss_type", "config_files", "reg_weight", "run_label"}
RUN_KEYS = {"model", "dataset"}
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
TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-3`` as a number, which YAML 1.1 takes for a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: str | Path) -> dict:
    """A YAML mapping.

    Raises:
        ConfigError: missing file, broken YAML (with its line), or no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"config file {path} cannot be read: {problem.strerror}") from problem
    try:
        settings = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as problem:
        raise ConfigError(f"config file {path} is no valid YAML: {' '.join(str(problem).split())}") from problem
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"config file {path} must hold 'key: value' lines, found a {type(settings).__name__}")
    return settings


def parse_value(text: str):
    """A command-line value: YAML, or a bare ``a,b`` list."""
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as problem:
        raise ConfigError(f"value {text!r} is no valid YAML: {' '.join(str(problem).split())}") from problem
    if isinstance(value, str) and "," in value:
        return [parse_value(part.strip()) for part in value.split(",") if part.strip()]
    return value


def parse_assignments(arguments: list[str]) -> dict:
    """``["--learning-rate=1e-3"]`` to ``{"learning_rate": 0.001}``.

    Raises:
        ConfigError: an argument without ``=``, or a key given twice with different values.
    """
    settings: dict = {}
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            hint = f"--{name}=VALUE" if name else "--key=VALUE"
            raise ConfigError(f"argument {argument!r} is not understood; write {hint}, with '=' and no blank")
        key = name.replace("-", "_")
        value = parse_value(text)
        if key in settings and settings[key] != value:
            raise ConfigError(f"--{key} is given twice, as {settings[key]!r} and {value!r}")
        settings[key] = value
    return settings


def suggestion(name: str, known) -> str:
    """`` (did you mean 'x'?)``, or nothing."""
    by_lower = {str(entry).lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


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
        super().__init__(model_class, dataset, self._config_files, dict(overrides or {}))

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
        layers = (
            find_property("overall"),
            find_property("dataset", dataset),
            find_property("model", model),
        )
        for path in layers:
            if path is not None:
                self._merge(self.internal_config_dict, read_yaml(path))
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

    def _known_keys(self) -> set[str]:
        listed = {name for names in self.parameters.values() for name in names}
        return listed | set(self.internal_config_dict) | UNLISTED_KEYS | RUN_KEYS

    @staticmethod
    def _check_type(key, value, default):
        if value is None or default is None or type(default) not in TYPE_NAMES:
            return
        expected = type(default)
        fits = isinstance(value, expected)
        if expected is int:
            fits = fits and not isinstance(value, bool)
        if expected is float:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        if expected in (list, dict):
            # RecBole takes one name for a list of one; its mappings may be switched off by a word.
            fits = fits or isinstance(value, str | int)
        if not fits:
            raise ConfigError(f"{key} must be {TYPE_NAMES[expected]}, not {value!r}")

    def _get_final_config_dict(self):
        final = copy.deepcopy(self.internal_config_dict)
        self._merge(final, copy.deepcopy(self.external_config_dict))
        self._default_negative_sampling(final)
        self.data_root = str(final["data_path"])
        return final

    def _default_negative_sampling(self, final):
        """Cross-entropy over all items takes no sampled negatives; RecBole's default draws one and then fails."""
        if "train_neg_sample_args" not in self.external_config_dict:
            is_full_softmax = final.get("loss_type") == "CE" or hasattr(self.model_class, "trains_packed")
            if is_full_softmax:
                final["train_neg_sample_args"] = None

    def _set_default_parameters(self):
        try:
            super()._set_default_parameters()
        except (ValueError, TypeError, NotImplementedError, RuntimeError, KeyError) as problem:
            raise ConfigError(f"the settings do not fit together: {problem}") from problem
        self.final_config_dict["data_path"] = str(Path(self.data_root) / self.dataset)

    def _init_device(self):
        settings = self.final_config_dict
        gpu = str(settings["gpu_id"]).split(",")[0].strip()
        use_gpu = settings["use_gpu"] and gpu != "" and torch.cuda.is_available()
        settings["device"] = torch.device(f"cuda:{gpu}") if use_gpu else torch.device("cpu")
        settings["single_spec"] = True
        settings["local_rank"] = 0

    def set_default(self, key: str, value):
        """Sets what neither a config file nor the command line has set."""
        if self.external_config_dict.get(key) is None:
            self.final_config_dict[key] = value

    def plain(self) -> dict:
        """What a run was given, as plain data for JSON and checkpoints; ``data_path`` as the user wrote it."""
        given = sorted(item for item in self.final_config_dict.items() if item[0] not in DERIVED_KEYS)
        plain = {key: _plain(value) for key, value in given}
        plain["data_path"] = self.data_root
        return plain


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
