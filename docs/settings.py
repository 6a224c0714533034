"""Writes docs/settings.md: the text of settings.template.md with the tables of properties/schema.yaml."""

import re
from pathlib import Path

import yaml

from recbole_mpo.common.schema import ALL, RECBOLE, Schema, read_schema
from recbole_mpo.common.setting import Setting
from recbole_mpo.quick_start.configure import make_config

DOCS = Path(__file__).resolve().parent
KINDS = {"bool": "`true`, `false`", "int": "whole number", "float": "number"}
PLACEHOLDER = re.compile(r"^\{\{(\w+)\}\}$", flags=re.MULTILINE)


def page() -> str:
    """Return the whole page.

    Raises:
        ValueError: a table of the schema has no place in the template, or a place no table.
    """
    schema = read_schema()
    template = (DOCS / "settings.template.md").read_text(encoding="utf-8")
    tables = tables_of(schema)
    places = PLACEHOLDER.findall(template)
    if sorted(places) != sorted(tables):
        raise ValueError(f"settings.template.md and schema.yaml differ in {', '.join(set(places) ^ set(tables))}")
    return PLACEHOLDER.sub(lambda place: tables[place[1]], template)


def tables_of(schema: Schema) -> dict[str, str]:
    """Return the table of each group or model that comes first in the rows of some settings."""
    rows: dict[str, list[Setting]] = {}
    for setting in schema.settings.values():
        if setting.models:
            rows.setdefault(setting.models[0], []).append(setting)
    defaults = {model: defaults_of(model) for model in named_models(schema)}
    return {entry: _table(entry, settings, schema, defaults) for entry, settings in rows.items()}


def named_models(schema: Schema) -> list[str]:
    """Return the models that rows and groups name, this package's first."""
    entries = [*schema.groups["own"], *(one for members in schema.groups.values() for one in members)]
    entries += [entry for setting in schema.settings.values() for entry in setting.models]
    return [entry for entry in dict.fromkeys(entries) if entry not in (*schema.groups, ALL, RECBOLE)]


def defaults_of(model: str) -> dict:
    """Return what a run of the model has where nothing is given, by setting."""
    return make_config(model, "any")[1].internal_config_dict


def _table(entry: str, settings: list[Setting], schema: Schema, defaults: dict[str, dict]) -> str:
    names = [model for model in defaults if schema.stands_for(entry, model)]
    columns = {
        "key": [code(setting.name) for setting in settings],
        "default": [code(shown(setting.default)) for setting in settings],
        "values": [_values(setting) for setting in settings],
        "worth trying": [_tried(setting) for setting in settings],
        "meaning": [_meaning(setting, schema, defaults) for setting in settings],
    }
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    rows = [tuple(columns), ("---",) * len(columns), *zip(*columns.values(), strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = [] if entry in (ALL, RECBOLE, "trained", "own", *defaults) else [f"For {_joined(names)}.", ""]
    return "\n".join([*head, *lines])


def _values(setting: Setting) -> str:
    if setting.choices:
        return _listed(setting.choices) + ", in any capitals" * setting.any_case
    if setting.each:
        entries = _listed(setting.each.choices) if setting.each.choices else setting.each.plural()
        return f"list of {entries}"
    if setting.keys:
        return f"mapping of {_listed(setting.keys)}"
    words = [KINDS.get(setting.kind, setting.kind), setting.range_words()]
    if setting.example is not None:
        words.append(f"such as {code(shown(setting.example))}")
    return " ".join(filter(None, words))


def _tried(setting: Setting) -> str:
    tried = [_listed(setting.tune)] if setting.tune else []
    return "; ".join([*tried, *(f"{_listed(values)} for {entry}" for entry, values in setting.tune_for.items())])


def _meaning(setting: Setting, schema: Schema, defaults: dict[str, dict]) -> str:
    """Return the sentence, who else uses the setting, and the defaults that differ from the column's."""
    sentences = [setting.says]
    others = [model for model in defaults if schema.declares(model, setting.name)]
    others = [model for model in others if not schema.stands_for(setting.models[0], model)]
    if others:
        sentences.append(f"Also for {_joined(others)}.")
    differing: dict[str, list[str]] = {}
    for model, values in defaults.items():
        value = values.get(setting.name)
        if setting.has_default and schema.declares(model, setting.name) and value != setting.default:
            differing.setdefault(shown(value), []).append(model)
    other_defaults = "; ".join(f"{code(value)} for {_joined(models)}" for value, models in differing.items())
    sentences += [f"Default {other_defaults}."] if other_defaults else []
    return " ".join(sentences)


def shown(value) -> str:
    """Return a value as a user would write it in a file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, str):
        return yaml.safe_dump(value, width=1000).removesuffix("...\n").strip()
    return {None: "~", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)


def code(text: str) -> str:
    """Return text as code."""
    return f"`{text}`"


def _listed(values) -> str:
    return ", ".join(code(shown(value)) for value in values)


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
