"""Experiment files: YAML that begins with ``command:`` and holds a command's options beside its settings."""

from collections.abc import Iterable
from pathlib import Path

from recbole_mpo.common.errors import ConfigError

COMMAND = "command"
CONFIG_FILES = "config_files"
# The argument of a command that runs one experiment file.
EXPERIMENT = "experiment"
# Commands that run one experiment file, and how it is given to them.
RUN_ONE = {"compare": "compare", "scaling": "scaling plan"}


def read_experiments(
    paths: Iterable[str], command: str, options: Iterable[str]
) -> tuple[list[str | dict], dict[str, str]]:
    """Read the experiment files among a command's configuration files.

    A path that begins with ``properties/`` and does not exist is looked for among the packaged files.

    Args:
        paths: the configuration files; later ones win.
        command: name of the command.
        options: names of the command's own options.

    Returns:
        The configuration files in their order, experiment files as their settings; and the texts of the command's
        options.

    Raises:
        ConfigError: a file cannot be read, or is an experiment of another command or with other files.
    """
    from recbole_mpo.common.values import read_yaml

    layers, texts, options = [], {}, set(options)
    for path in map(_packaged, paths):
        content = read_yaml(path)
        if COMMAND not in content:
            layers.append(path)
            continue
        _check(content, path, command)
        texts |= _texts(path, options)
        layers.append({key: value for key, value in content.items() if key not in options and key != COMMAND})
    return layers, texts


def read_experiment(words: list[str], command: str, options: Iterable[str]) -> tuple[str, dict, dict[str, str]]:
    """Read the one experiment file that a command runs.

    Args:
        words: the arguments that name it.
        command: name of the command.
        options: names of the command's own options.

    Returns:
        Its path, its settings, and the texts of the command's options.

    Raises:
        ConfigError: there is not one file, or it cannot be read or is not an experiment of the command.
    """
    if len(words) != 1:
        raise ConfigError(f"{command} runs one experiment file, not {len(words)}: recbole-mpo {command} FILE")
    (settings,), texts = read_experiments(words, command, options)
    if not isinstance(settings, dict):
        raise ConfigError(f"{words[0]} is not an experiment: it must begin with {COMMAND}: {command}")
    return words[0], settings, texts


def _check(content: dict, path: str, command: str):
    if content[COMMAND] != command:
        name = content[COMMAND] or "NAME"
        way = f"recbole-mpo {RUN_ONE[name]} {path}" if name in RUN_ONE else f"recbole-mpo {name} --config_files={path}"
        raise ConfigError(f"{path} is an experiment of the command {content[COMMAND]!r}, not of {command}: {way}")
    if CONFIG_FILES in content:
        raise ConfigError(f"{path} names config_files; write these settings into it, or give the files beside it")


def _texts(path: str, options: set[str]) -> dict[str, str]:
    """Return the values of a command's options as they would be written on the command line: 007 stays 007."""
    import yaml

    content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    given = {key: value for key, value in content.items() if key in options}
    return {key: ",".join(value) if isinstance(value, list) else value for key, value in given.items()}


def _packaged(path: str) -> str:
    """Return the path of a configuration file, which may be one that the package brings."""
    if Path(path).exists() or Path(path).parts[:1] != ("properties",):
        return path
    from recbole_mpo.common.properties import property_root

    packaged = property_root().joinpath(*Path(path).parts[1:])
    return str(packaged) if packaged.is_file() else path
