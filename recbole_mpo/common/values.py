"""Values of settings: read from YAML and from the command line, checked, and suggested where misspelt."""


import difflib
import re
from pathlib import Path

import yaml

from recbole_mpo.common.errors import ConfigError

# Names, tokens and paths, taken as they are written: 007 is no number and a comma no list.
TEXT_KEYS = {"model", "dataset", "checkpoint", "output", "record", "resume", "items", "histories", "run_label"}


TEXT_KEYS |= {"data_path", "cache_dir", "checkpoint_dir", "feature_file", "pretrained", "text_encoder"}


TEXT_KEYS |= {"interactions", "user", "item", "time", "item_column", "time_format", "separator", "encoding"}


TEXT_KEYS |= {"ccdr_source", "ccdr_source_feature_file"}


TEXT_KEYS |= {"raw", "source_url", "release", "page"}


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
    except UnicodeDecodeError as problem:
        raise ConfigError(f"config file {path} is no UTF-8 text: {problem}") from problem
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
    # A quoted value, which YAML gives back changed, is text on purpose.
    if isinstance(value, str) and "," in value and value == text.strip():
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
            hint = f"--{name.lstrip('-') or 'key'}=VALUE"
            raise ConfigError(f"argument {argument!r} is not understood; write {hint}, with '=' and no blank")
        key = name.replace("-", "_")
        value = (None if text in ("", "~") else text) if key in TEXT_KEYS else parse_value(text)
        if key in settings and settings[key] != value:
            raise ConfigError(f"--{key} is given twice, as {settings[key]!r} and {value!r}")
        settings[key] = value
    return settings


def check_choice(key: str, value, choices):
    """Refuses a setting's value that is none of its choices.

    Raises:
        ConfigError: it is not; names them all.
    """
    if value not in choices:
        raise ConfigError(f"{key} is {value!r}; choose one of {', '.join(choices)}")


def as_list(value) -> list[str]:
    """The texts of a setting that takes one or several; none where it is empty."""
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def suggestion(name: str, known) -> str:
    """`` (did you mean 'x'?)``, or nothing."""
    by_lower = {str(entry).lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""
