"""Experiment files: YAML that begins with ``command:`` and holds a command's options beside its settings."""

from collections.abc import Iterable
from pathlib import Path

from recbole_mpo.common.errors import ConfigError

COMMAND = "command"


def read_experiments(paths: Iterable[str], command: str, options: Iterable[str]) -> tuple[list[str], dict, dict]:
    """Read the experiment files among a command's configuration files.

    A path that begins with ``properties/`` and does not exist is looked for among the packaged files.

    Args:
        paths: the configuration files; later ones win.
        command: name of the command.
        options: names of the command's own options.

    Returns:
        The other files; the texts of the command's options; and the settings.

    Raises:
        ConfigError: a file cannot be read, or is an experiment of another command.
    """
    from recbole_mpo.common.values import read_yaml

    others, texts, settings, options = [], {}, {}, set(options)
    for path in map(_packaged, paths):
        content = read_yaml(path)
        if COMMAND not in content:
            others.append(path)
            continue
        if content[COMMAND] != command:
            raise ConfigError(
                f"{path} is an experiment of the command {content[COMMAND]!r}: "
                f"recbole-mpo {content[COMMAND]} --config_files={path}"
            )
        given = {key: value for key, value in content.items() if key != COMMAND and value is not None}
        texts |= {key: _text(value) for key, value in given.items() if key in options}
        settings |= {key: value for key, value in given.items() if key not in options}
    return others, texts, settings


def _packaged(path: str) -> str:
    """Return the path of a configuration file, which may be one that the package brings."""
    if Path(path).exists() or Path(path).parts[:1] != ("properties",):
        return path
    from recbole_mpo.common.properties import property_root

    packaged = property_root().joinpath(*Path(path).parts[1:])
    return str(packaged) if packaged.is_file() else path


def _text(value) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
