"""The documentation says what the code does: settings, links, commands and snippets are checked against it."""

import importlib.util
import re
import runpy
from pathlib import Path

import pytest
import yaml

from recbole_mpo.cli.commands import COMMANDS
from recbole_mpo.common.schema import read_schema
from recbole_mpo.common.values import parse_value

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = {name: setting for name, setting in read_schema().settings.items() if setting.models}
# Arguments of commands that are no settings.
ARGUMENTS = set(
    "model dataset config_files dry_run resume record debug help version checkpoint items histories topk output "
    "format metrics mix published page users "
    # of prepare
    "k_core min_length split split_ratio layout overwrite raw source_url release interactions user item time "
    "time_format item_column text separator encoding domains".split()
)


def blocks(text, language):
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def code_of(text):
    """Shell blocks and inline code: where commands stand."""
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks(text, "bash") for line in block.splitlines()] + inline


def documented():
    """``{section: {key: default}}`` of the tables in docs/settings.md."""
    sections = {}
    for part in re.split(r"^## ", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
        rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| \S.* \|$", part, flags=re.MULTILINE)
        sections[part.splitlines()[0]] = dict(rows)
    return {title: rows for title, rows in sections.items() if rows}


def recbole_defaults():
    """RecBole's keys with its defaults, None where it has none; read from its files."""
    folder = Path(importlib.util.find_spec("recbole").submodule_search_locations[0])
    lists = runpy.run_path(str(folder / "utils" / "argument_list.py"))
    keys = {key: None for name, names in lists.items() if name.endswith("_arguments") for key in names}
    for file in ("overall.yaml", "dataset/sample.yaml"):
        keys.update(yaml.safe_load((folder / "properties" / file).read_text(encoding="utf-8")))
    return keys


def test_the_page_of_settings_is_what_make_docs_writes():
    page = runpy.run_path(str(ROOT / "docs" / "settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_bytes() == page.encode("utf-8"), "run make docs"


def test_every_setting_is_documented_with_its_default():
    tables = {key: default for rows in documented().values() for key, default in rows.items()}
    for name, setting in SETTINGS.items():
        assert name in tables, f"docs/settings.md does not list {name}"
        assert parse_value(tables[name]) == setting.default, f"docs/settings.md gives {name} the default {tables[name]}"


def test_every_documented_setting_exists_and_stands_once():
    names = [name for title, rows in documented().items() if not title.startswith("RecBole's keys") for name in rows]
    assert sorted(names) == sorted(SETTINGS)


def test_recboles_keys_are_documented_with_its_defaults():
    defaults = recbole_defaults()
    rows = next(rows for title, rows in documented().items() if title.startswith("RecBole's keys"))
    assert {key: parse_value(value) for key, value in rows.items()} == {key: defaults[key] for key in rows}
    assert not set(rows) & set(SETTINGS), "a setting of properties/ stands in RecBole's table"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    relative = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    missing = [link for link in relative if link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("snippet", blocks(README.read_text(encoding="utf-8"), "python"))
def test_readme_snippets_run(snippet, capsys):
    exec(compile(snippet, str(README), "exec"), {})


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = {name for line in code_of(README.read_text(encoding="utf-8")) for name in re.findall(r"^make (\w+)", line)}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    lines = code_of(page.read_text(encoding="utf-8"))
    named = {name for line in lines for name in re.findall(r"\brecbole-mpo ([a-z]\w*)", line)}
    assert named <= {*COMMANDS, "doctor"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_arguments_exist(page):
    lines = code_of(page.read_text(encoding="utf-8"))
    named = {name for line in lines for name in re.findall(r"(?<!\S)--(\w+)", line)}
    # the command-line rules name wrong forms too
    assert named - {"key"} <= ARGUMENTS | set(SETTINGS)
