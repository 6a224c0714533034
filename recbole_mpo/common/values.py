"""Values of settings: read from YAML and from the command line, checked, with suggestions for misspelt names."""

import difflib
import re
from functools import cache
from pathlib import Path

import yaml

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property

# Names that a checkpoint's commands take as settings; they are text as written: 007 is not a number.
RUN_NAMES = {"model", "dataset"}


class YamlLoader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-3`` as a number; in YAML 1.1 it is a string."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: str | Path) -> dict:
    """Return the mapping that a YAML file holds.

    Raises:
        ConfigError: the file is missing, is not valid YAML (the message names the line), or does not hold a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"config file {path} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"config file {path} is not valid UTF-8: {problem}") from problem
    try:
        settings = yaml.load(text, Loader=YamlLoader)
    except yaml.YAMLError as problem:
        raise ConfigError(f"config file {path} is not valid YAML: {' '.join(str(problem).split())}") from problem
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"config file {path} must hold 'key: value' lines, found a {type(settings).__name__}")
    return settings


@cache
def schema_table() -> dict:
    """Return the content of ``properties/schema.yaml``, which :mod:`recbole_mpo.common.schema` turns into rows."""
    return read_yaml(find_property("schema"))


def text_keys() -> set[str]:
    """Return the settings that are names or paths; the command line takes them as written."""
    rows = schema_table()["settings"].items()
    return {name for name, row in rows if row["kind"] == "text" and not row.keys() & {"choices", "joined"}}


def parse_value(text: str):
    """Return the value of a text from the command line: YAML, or a bare ``a,b`` list.

    Raises:
        ConfigError: the text is not valid YAML.
    """
    try:
        value = yaml.load(text, Loader=YamlLoader)
    except yaml.YAMLError as problem:
        raise ConfigError(f"value {text!r} is not valid YAML: {' '.join(str(problem).split())}") from problem
    # YAML removes quotes, so a value that it changes was quoted and is text on purpose.
    if isinstance(value, str) and "," in value and value == text.strip():
        return [parse_value(part.strip()) for part in value.split(",") if part.strip()]
    return value


def parse_assignments(arguments: list[str]) -> dict:
    """Return the settings of arguments: ``["--learning-rate=1e-3"]`` gives ``{"learning_rate": 0.001}``.

    Raises:
        ConfigError: an argument has no ``=``, or a key is given twice with different values.
    """
    settings: dict = {}
    text_settings = RUN_NAMES | text_keys()
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            hint = f"--{name.lstrip('-') or 'key'}=VALUE"
            raise ConfigError(f"argument {argument!r} is not understood; write {hint}, with '=' and no space")
        key = name.replace("-", "_")
        value = (None if text in ("", "~") else text) if key in text_settings else parse_value(text)
        if key in settings and settings[key] != value:
            raise ConfigError(f"--{key} is given twice, as {settings[key]!r} and {value!r}")
        settings[key] = value
    return settings


def check_choice(key: str, value, choices):
    """Refuse a value that is not one of a setting's choices.

    Raises:
        ConfigError: the value is not a choice; the message lists them all.
    """
    if value not in choices:
        raise ConfigError(f"{key} is {value!r}; choose one of {', '.join(choices)}")


def as_list(value) -> list[str]:
    """Return the texts of a setting that takes one or several; an empty list for None."""
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def suggestion(name: str, names, alike: float = 0.6) -> str:
    """Return `` (did you mean 'x'?)`` with the most similar name, or an empty text.

    Args:
        name: the name that was written.
        names: the valid names.
        alike: how similar two names must be, from 0 to 1.
    """
    by_lower = {str(entry).lower(): entry for entry in names}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=alike)
    return f" (did you mean {by_lower[matches[0]]!r}?)" if matches else ""
