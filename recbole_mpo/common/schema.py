"""All settings that ``properties/schema.yaml`` lists, and which models use which.

The checks of a run's settings, the tables of docs/settings.md and the tuner read these rows.
"""

import importlib.util
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.common.setting import KINDS, Setting
from recbole_mpo.common.values import as_list, read_yaml, schema_table, suggestion

# Names of groups that need no list of models.
ALL, RECBOLE = "all", "recbole"
# How similar a setting's name must be to be suggested when another setting is refused.
ALIKE = 0.8


@dataclass(frozen=True)
class Schema:
    """All rows, and the groups of models that the rows name.

    Attributes:
        groups: names of models and of other groups, by group.
        settings: the rows of settings.
        recbole: rows for RecBole's own settings, which only check their values.
    """

    groups: dict[str, tuple[str, ...]]
    settings: dict[str, Setting]
    recbole: dict[str, Setting]

    def is_recboles(self, model: str) -> bool:
        """Return whether a model is RecBole's own, not one of this package."""
        return model not in self.groups["own"]

    def stands_for(self, entry: str, model: str) -> bool:
        """Return whether an entry of ``models`` (a model or a group) includes the model with this canonical name."""
        if entry == RECBOLE:
            return self.is_recboles(model)
        if entry in self.groups:
            return any(self.stands_for(member, model) for member in self.groups[entry])
        return entry in (ALL, model)

    def declares(self, model: str, key: str) -> bool:
        """Return whether a setting's row names the model."""
        return any(self.stands_for(entry, model) for entry in self.settings[key].models)

    def uses(self, model: str, key: str) -> bool:
        """Return whether the model uses a setting of the schema; RecBole's models also use those of RecBole's files."""
        is_recboles = bool(self.settings[key].models) and self.is_recboles(model)
        return self.declares(model, key) or (is_recboles and key in recbole_model_settings(model))

    def settings_of(self, model: str) -> dict[str, Setting]:
        """Return the rows that name the model with this canonical name."""
        return {key: setting for key, setting in self.settings.items() if self.declares(model, key)}

    def for_model(self, settings: dict, model: str) -> dict:
        """Return those of ``settings`` that a model uses; keys that are in no row stay."""
        return {key: value for key, value in settings.items() if key not in self.settings or self.uses(model, key)}

    def values_worth_trying(self, model: str, key: str) -> tuple:
        """Return the values to try when tuning a setting for a model; an empty tuple if none are known."""
        setting = self.settings[key]
        return self._entry_for(setting.tune_for, model) or setting.tune

    def _entry_for(self, by_entry: dict, model: str):
        return next((value for entry, value in by_entry.items() if self.stands_for(entry, model)), None)

    def check_use(self, model: str, key: str, other_keys=()):
        """Refuse a setting of the schema that the model does not use.

        Args:
            model: canonical name.
            key: name of the setting.
            other_keys: names to suggest in addition to the settings of the model.

        Raises:
            ConfigError: the model does not use the setting; the message names its counterpart if there is one.
        """
        if self.uses(model, key):
            return
        like = self._entry_for(self.settings[key].instead, model)
        hint = f" (it has {like})" if like else suggestion(key, {*self.settings_of(model), *other_keys}, ALIKE)
        raise ConfigError(f"{model} does not use {key}{hint}; leave it out")


def parse_schema(table: dict) -> Schema:
    """Return the schema for the content of ``properties/schema.yaml``.

    Raises:
        ConfigError: a row has an unknown field or kind, has a default that its own check refuses, or names an unknown
            model, group or setting.
    """
    groups = {name: tuple(members) for name, members in table["groups"].items()}
    settings = {name: _parse_row(name, row) for name, row in table["settings"].items()}
    for members in groups.values():
        _check_entries(members, groups)
    for setting in settings.values():
        _check_entries((*setting.models, *setting.instead, *setting.tune_for), groups)
        for like in setting.instead.values():
            if like not in settings:
                raise ConfigError(f"schema.yaml: {setting.name} names {like!r}, which is not a setting")
    return Schema(groups, settings, {name: _parse_row(name, row) for name, row in table.get("recbole", {}).items()})


def _check_entries(entries, groups: dict):
    names = {*groups, *groups["own"], ALL, RECBOLE}
    for entry in entries:
        if entry not in names and not recbole_model_settings(entry):
            raise ConfigError(f"schema.yaml: {entry!r} is neither a group nor a model{suggestion(entry, names)}")


def _parse_row(name: str, row: dict) -> Setting:
    field_names = {entry.name for entry in fields(Setting)} - {"name", "has_default"}
    for key in row:
        if key not in field_names:
            raise ConfigError(f"schema.yaml: {name} has the unknown field {key!r}{suggestion(key, field_names)}")
    if row.get("kind") not in KINDS:
        raise ConfigError(f"schema.yaml: {name} is of kind {row.get('kind')!r}; choose one of {', '.join(KINDS)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    values |= {
        "default": row.get("default"),
        "models": tuple(as_list(row.get("models"))),
        "tune_for": {entry: tuple(choices) for entry, choices in row.get("tune_for", {}).items()},
        **{field: _parse_row(name, row[field]) if field in row else None for field in ("each", "values", "also")},
    }
    if isinstance(row.get("keys"), dict):
        values["keys"] = {key: _parse_row(key, entry) for key, entry in row["keys"].items()}
    setting = Setting(name=name, has_default="default" in row, **values)
    values_for_models = [value for choices in setting.tune_for.values() for value in choices]
    for value in (setting.default, *setting.tune, *values_for_models):
        setting.check(value, may_be_left_out=True)
    return setting


@cache
def read_schema() -> Schema:
    """Return the packaged schema.

    Raises:
        ConfigError: the schema is missing or malformed.
    """
    return parse_schema(schema_table())


def settings_of(model: str) -> dict[str, Setting]:
    """Return the packaged schema's rows that name the model with this canonical name."""
    return read_schema().settings_of(model)


def for_model(settings: dict, model: str) -> dict:
    """Return the part of a block of settings that a model uses.

    Args:
        settings: a block for several models; unknown keys stay and are refused later.
        model: canonical name.
    """
    return read_schema().for_model(settings, model)


def defaults_of(model: str) -> dict:
    """Return the defaults of the settings that a model with this canonical name uses."""
    rows = read_schema().settings_of(model)
    return {key: setting.default for key, setting in rows.items() if setting.has_default}


@cache
def recbole_model_settings(model: str) -> frozenset[str]:
    """Return the keys of RecBole's own settings file for a model; an empty set if there is no such file."""
    folder = Path(importlib.util.find_spec("recbole").submodule_search_locations[0])
    file = folder / "properties" / "model" / f"{model}.yaml"
    return frozenset(read_yaml(file)) if file.is_file() else frozenset()
