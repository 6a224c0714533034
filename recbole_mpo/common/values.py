"""Values of settings: read from YAML and from the command line, checked, with suggestions for misspelt names."""

import difflib
import re
from functools import cache
from itertools import islice
from pathlib import Path

import yaml

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.properties import find_property
from recbole_mpo.common.terminal import has_control_characters

# Names that a checkpoint's commands take as settings; they are text as written: 007 is not a number.
RUN_NAMES = {"model", "dataset"}
# Larger than the value of any setting.
MAX_DEPTH, MAX_ENTRIES = 20, 100_000
# Characters of a value in a message.
MAX_SHOWN = 200


class YamlLoader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-3`` as a number, in YAML 1.1 a string, and refuses a key that is given twice."""

    def construct_mapping(self, node, deep=False):
        """Return a mapping.

        Raises:
            yaml.constructor.ConstructorError: a key is given twice; PyYAML keeps the last value without a word.
        """
        lines = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key in lines:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key_node.value!r} is given twice, also in line {lines[key]}", key_node.start_mark
                )
            if key is not None:
                lines[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


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
    settings = _load(text, f"config file {path}")
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"config file {path} must hold 'key: value' lines, found a {type(settings).__name__}")
    return settings


def _load(text: str, source: str):
    """Return the value of a YAML text.

    Raises:
        ConfigError: the text is not valid YAML, or its value is larger than any setting.
    """
    try:
        value = yaml.load(text, Loader=YamlLoader)
    except RecursionError as problem:
        raise ConfigError(f"{source} is nested too deeply") from problem
    # PyYAML's own errors, and those of Python's conversions of dates, long numbers and tagged values.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as problem:
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(problem).split())}") from problem
    if not _is_small(value):
        raise ConfigError(f"{source} is nested too deeply or too long")
    return value


def _is_small(value) -> bool:
    """Return whether a value has the size of a setting; with references, a short text can be endless."""
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        level = list(islice((entry for part in level for entry in _entries(part)), MAX_ENTRIES + 1))
        count += len(level)
        if not level or count > MAX_ENTRIES:
            break
    return not level


def _entries(value) -> list:
    return [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


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
    value = _load(text, f"value {shown(text)}")
    # YAML removes quotes, so a value that it changes was quoted and is text on purpose.
    if isinstance(value, str) and "," in value and value == text.strip():
        return [parse_value(part.strip()) for part in value.split(",") if part.strip()]
    return value


def parse_words(text: str) -> list[str]:
    """Return the texts in ``a,b`` or ``[a,b]`` as they are written: 007 stays 007, and true is a name.

    Raises:
        ConfigError: the text is not valid YAML.
    """
    _load(text, f"value {shown(text)}")  # refuses what is not YAML, or too large
    written = yaml.load(text, Loader=yaml.BaseLoader)
    # YAML removes quotes, so a text that it changes was quoted and is one text on purpose.
    if isinstance(written, str) and written == text.strip():
        return [part.strip() for part in written.split(",") if part.strip()]
    return as_list(written)


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
        raise ConfigError(f"{key} is {shown(value)}; choose one of {', '.join(choices)}")


def check_dataset_name(key: str, name: str):
    """Refuse a dataset's name that is not the name of one folder: it becomes a part of paths and of run folders.

    Raises:
        ConfigError: the name is empty, has a separator of paths or a control character, or begins with a dot.
    """
    if not name or name.startswith(".") or set(name) & set("/\\:") or has_control_characters(name):
        raise ConfigError(
            f"{key} is {name!r}; give the name of one folder, without '/', '\\', ':' or a dot in front, "
            "and its place with --data_path"
        )


def shown(value) -> str:
    """Return a value as messages show it, in one line and without the middle of a long one."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} ... {text[-MAX_SHOWN // 4 :]}"


def as_list(value) -> list[str]:
    """Return the texts of a setting that takes one or several; an empty list for None."""
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, list | tuple) else [str(value)]


def suggestion(name: str, names, alike: float = 0.6) -> str:
    """Return `` (did you mean 'x'?)`` with the most similar name, or an empty text.

    Args:
        name: the name that was written; in YAML it may be a number or empty.
        names: the valid names.
        alike: how similar two names must be, from 0 to 1.
    """
    if len(str(name)) > MAX_SHOWN:
        return ""
    by_lower = {str(entry).lower(): entry for entry in names}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=alike)
    return f" (did you mean {by_lower[matches[0]]!r}?)" if matches else ""
