"""The documentation says what the code does: settings, links, commands and snippets are checked against it.

The site that is made of it has its tests below: its navigation, docs/hooks.py, and a build where MkDocs is installed.
"""

import importlib.util
import json
import logging
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from model_folders import recommender_of
from sharded import shard_dataset
from stand_in import serving

from recbole_mpo.cli.commands import COMMANDS
from recbole_mpo.cli.main import main
from recbole_mpo.common.schema import read_schema
from recbole_mpo.common.values import parse_value
from recbole_mpo.data.prepare.ml100k import prepare_ml100k
from recbole_mpo.quick_start.recorded_run import run
from recbole_mpo.release.recommend import Recommender
from recbole_mpo.release.serving.served_model import ServedModel

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
# The template of a page is not one.
DOCS_PAGES = [path for path in sorted(DOCS.rglob("*.md")) if not path.name.endswith(".template.md")]
INCLUDED = [README, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")), *sorted(ROOT.glob("results/*.md"))]
PAGES = [*INCLUDED, *DOCS_PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
# Pages whose commands and snippets run one after another in one folder, the first of which makes the data.
HOW_TOS = (
    "compare_runs",
    "scaling_study",
    "own_features",
    "own_encoder",
    "large_data_text",
    "resume_a_run",
    "compress",
    "pretrain",
    "export",
    "adapters",
    "onnx",
)
LESSONS = ["tutorial", *(f"howto/{name}" for name in HOW_TOS)]
SETTINGS = {name: setting for name, setting in read_schema().settings.items() if setting.models}
# Arguments of commands that are no settings.
ARGUMENTS = set(
    "model dataset config_files dry_run resume record debug help version checkpoint items histories topk output "
    "format metrics mix published by page users reference item layout model_folder topk_by index_file "
    # of adapter
    "base adapter frozen report "
    # of compare
    "seeds title reuse jobs max_hours tune wilcoxon "
    # of scaling
    "shard "
    # of compress
    "method finetune_epochs l1 target_ratio largest_drop times "
    # of encode
    "processes "
    # of torchrun
    "nproc nnodes rdzv standalone "
    # of SLURM
    "job nodes ntasks gpus cpus requeue "
    # of prepare
    "k_core min_length split split_ratio layout overwrite raw source_url release interactions user item time "
    "time_format item_column text separator encoding domains order rating min_rating "
    "items_separator items_encoding output_format parts engine memory_limit categories without_users_of "
    # of serve
    "host port api_key state_dir threads max_batch max_queue max_body timeout".split()
)


def blocks(text, language):
    """The contents of the fenced blocks of a language that have no title."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def steps(page):
    """The fenced blocks of a page in order: language, file name where the title gives one, content."""
    pattern = r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```"
    return re.findall(pattern, page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code_of(text):
    """Shell blocks and inline code: where commands stand."""
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks(text, "bash") for line in block.splitlines()] + inline


def documented():
    """``{section: {key: default}}`` of the tables in docs/settings.md."""
    sections = {}
    for part in re.split(r"^## ", (DOCS / "settings.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
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


@each_page
def test_relative_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    relative = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    missing = [link for link in relative if link and not (page.parent / link).exists()]
    assert not missing


@pytest.fixture
def few_films():
    """ml-100k in the current folder, with the ratings of its first users alone: a snippet is to run, not to train."""
    path = prepare_ml100k("dataset") / "ml-100k.inter"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    users = set(list(dict.fromkeys(row.split("\t")[0] for row in rows))[:60])
    kept = [row for row in rows if row.split("\t")[0] in users]
    path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("snippet", blocks(README.read_text(encoding="utf-8"), "python"))
def test_readme_snippets_run(snippet, few_films, capsys):
    exec(compile(snippet, str(README), "exec"), {})
    *_, first, _, _, _, last = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r" *-?\d+\.\d\d  \S.*", line) for line in (first, last))


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = {name for line in code_of(README.read_text(encoding="utf-8")) for name in re.findall(r"^make (\w+)", line)}
    assert {"demo", "test"} <= named <= targets


@each_page
def test_commands_exist(page):
    lines = code_of(page.read_text(encoding="utf-8"))
    named = {name for line in lines for name in re.findall(r"\brecbole-mpo ([a-z]\w*)", line)}
    assert named <= {*COMMANDS, "doctor"}


@each_page
def test_arguments_exist(page):
    lines = [line for line in code_of(page.read_text(encoding="utf-8")) if not line.startswith("pip ")]
    named = {name for line in lines for name in re.findall(r"(?<!\S)--(\w+)", line)}
    # the command-line rules name wrong forms too
    assert named - {"key"} <= ARGUMENTS | set(SETTINGS)


@pytest.fixture
def shop(tmp_path, capsys):
    """The tutorial's dataset in the current folder, made as its first steps say."""
    script, prepare = steps(DOCS / "tutorial.md")[0], "recbole-mpo prepare "
    assert script[:2] == ("python", "make_shop.py")
    exec(compile(script[2], script[1], "exec"), {})
    commands = "".join(blocks((DOCS / "tutorial.md").read_text(encoding="utf-8"), "bash")).replace("\\\n", "")
    (command,) = [line for line in commands.splitlines() if line.startswith(prepare)]
    assert main(shlex.split(command)[1:]) == 0
    return tmp_path / "dataset" / "shop"


@pytest.mark.parametrize("name", ["own_features", "use_the_layers", "add_a_model"])
def test_snippets_of_how_tos_run(name, shop, capsys):
    names = {}
    for snippet in blocks((DOCS / "howto" / f"{name}.md").read_text(encoding="utf-8"), "python"):
        exec(compile(snippet, name, "exec"), names)


def test_the_command_of_training_on_large_data_runs_on_shards(shop, tmp_path, capsys):
    settings = next(content for _, title, content in steps(DOCS / "tutorial.md") if title == "shop.yaml")
    (tmp_path / "shop.yaml").write_text(settings, encoding="utf-8")
    small = shop.rename(shop.with_name("small"))
    for suffix in (".inter", ".text"):
        (small / f"shop{suffix}").rename(small / f"small{suffix}")
    shard_dataset(shop.parent, "small", target="shop")
    page = (DOCS / "howto" / "large_data_training.md").read_text(encoding="utf-8")
    (command,) = "".join(blocks(page, "bash")).replace("\\\n", "").splitlines()
    assert main([*shlex.split(command)[1:], "--epochs=1"]) == 0


def test_the_how_to_of_large_data_prepares_as_written(shop, capsys):
    pytest.importorskip("duckdb", reason="needs the extra [scale]")
    done = 0
    for language, _, content in steps(DOCS / "howto" / "large_data.md"):
        for line in content.replace("\\\n", "").splitlines() if language == "bash" else ():
            if line.startswith("recbole-mpo prepare"):
                assert main(shlex.split(line)[1:]) == 0
                done += 1
        if language == "python" and "hash_of_inter" in content:
            exec(compile(content, "large_data", "exec"), {})
            done += 1
    assert done >= 3


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_requests_of_the_how_to_of_serving_are_answered(shop, tiny_settings, tmp_path):
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason="needs the extra [serve]")
    settings = {**tiny_settings, "data_path": str(shop.parent)}
    recommender_of(settings, dataset="shop").save_pretrained(tmp_path / "models" / "shop")
    model = ServedModel.open("shop", tmp_path / "models" / "shop", None)
    page = steps(DOCS / "howto" / "serve.md")
    examples = {place: json.loads(content) for place, (language, _, content) in enumerate(page) if language == "json"}
    with serving([model]) as address:
        for place, (language, _, content) in enumerate(page):
            if language == "bash":
                command = content.replace("localhost:8000", address.removesuffix("/").removeprefix("http://"))
                done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=True)
                assert place + 1 in examples or not done.stdout.startswith('{"error"')
                if place + 1 in examples:
                    assert shape(json.loads(done.stdout)) == shape(examples[place + 1])
    assert model.kept.path == tmp_path / "models" / "shop.items.jsonl" and list(model.kept.texts) == ["P900"]
    assert shape(examples[max(examples)]) == {"error": {"code": "unknown_item", "message": str, "field": "history.0"}}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readme_serves_what_it_trains(few_films):
    """Train on ml-100k, export, serve, ask: the answer is the checkpoint's."""
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, reason="needs the extra [serve]")
    settings = {"epochs": 1, "hidden_size": 16, "n_exps": 2, "text_encoder": "tfidf-svd", "show_progress": False}
    run_id = run("MPORec", "ml-100k", (), {**settings, "checkpoint_dir": "saved/demo"})["run_id"]
    export, asking = (
        part for part in blocks(README.read_text(encoding="utf-8"), "bash") if "models/films" in part or "curl" in part
    )
    export, serve = export.replace("RUN", run_id).splitlines()
    assert main(shlex.split(export)[1:]) == 0
    name, folder = *shlex.split(serve)[1:-1], shlex.split(serve)[-1]
    assert name == "serve"
    with serving([ServedModel.open("films", Path(folder), None)]) as address:
        command = asking.replace("localhost:8000", address.removesuffix("/").removeprefix("http://"))
        done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=True)
    recommended = Recommender.from_checkpoint(f"saved/demo/{run_id}/best.pth").recommend([["50", "181", "172"]], 3)[0]
    answered = json.loads(done.stdout)["items"]
    assert [(item["item"], item["title"]) for item in answered] == [(item.token, item.title) for item in recommended]
    assert [sum(item["why"].values()) for item in answered] == pytest.approx(
        [item.score for item in recommended], abs=1e-3
    )


def shape(value):
    """What an example must share with an answer: names, counts and codes, and not scores or which items are best."""
    if isinstance(value, dict):
        fixed = ("code", "field", "added")
        return {key: part if key in fixed else shape(part) for key, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_lessons_run_as_written(tmp_path):
    shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, title, content in (step for name in LESSONS for step in steps(DOCS / f"{name}.md")):
        if title:
            (tmp_path / title).write_text(content, encoding="utf-8")
        elif language in ("bash", "python"):
            command = ["bash", "-ec", content] if language == "bash" else [sys.executable, "-c", content]
            # A variable of one block is read in the next.
            shell["RUN"] = next(iter(sorted(tmp_path.glob("saved/MPORec-shop-*"), reverse=True)), Path()).as_posix()
            done = subprocess.run(command, cwd=tmp_path, env=shell, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{content}\n{done.stdout}\n{done.stderr}"


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags are MkDocs' own."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def entries(nav):
    """The pages that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav if isinstance(nav, list) else nav.values()) for page in entries(part)]


def test_the_navigation_names_every_page_once():
    configuration = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)  # noqa: S506 - a safe loader
    assert sorted(entries(configuration["nav"])) == sorted(str(page.relative_to(DOCS)) for page in DOCS_PAGES)


@pytest.fixture
def hooks():
    """docs/hooks.py, as MkDocs loads it."""
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGE_OF = {"docs/models.md": "docs/models.md", "results/scientific.md": "docs/results/scientific.md"}


@pytest.mark.parametrize(
    "text, with_address, without",
    [
        ("[the models](../models.md#sizes)", "[the models](../models.md#sizes)", None),
        ("[results](../../results/scientific.md)", "[results](../results/scientific.md)", None),
        ("[pins](../../constraints.txt)", "[pins](https://host/us/it/blob/main/constraints.txt)", "`pins`"),
        ("[`a` and\n`b`](../../results)", "[`a` and\n`b`](https://host/us/it/blob/main/results)", "`a` and\n`b`"),
        ("[web](https://host/a.md), [below](#below)", "[web](https://host/a.md), [below](#below)", None),
        ("[gone](../gone.md)", "[gone](../gone.md)", None),
        ("```\n[pins](../../constraints.txt)\n```", "```\n[pins](../../constraints.txt)\n```", None),
        ("![stream](../images/stream.svg)", "![stream](../images/stream.svg)", None),
    ],
)
def test_links_lead_to_the_page_of_a_file_or_to_the_repository(hooks, text, with_address, without):
    assert hooks.whole_page("docs/howto/a.md", text, PAGE_OF, "https://host/us/it/") == with_address
    assert hooks.whole_page("docs/howto/a.md", text, PAGE_OF, "") == (without or with_address)


def test_a_page_holds_the_files_that_it_includes_with_their_links(hooks, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    (tmp_path / "results" / "seeds").mkdir(parents=True)
    text = "# Of two\n\n[records](seeds), [more](scientific.md)\n"
    (tmp_path / "results" / "of_two.md").write_text(text, encoding="utf-8")
    (tmp_path / "results" / "scientific.md").touch()
    page = hooks.whole_page("docs/results/of_two.md", '--8<-- "results/of_two.md"\n', PAGE_OF, "")
    assert page == "# Of two\n\n`records`, [more](scientific.md)\n\n"
    hooks.whole_page("docs/results/of_two.md", '--8<-- "results/gone.md"\n', PAGE_OF, "")
    assert "docs/results/of_two.md includes results/gone.md, which does not exist" in caplog.text


def test_names_in_docstrings_are_code_and_lead_to_what_they_name(hooks):
    html = "<p>See :class:<code>~recbole_mpo.model.MPORec</code> and :meth:<code>encode</code>.</p>"
    assert hooks.on_page_content(html, None, None, None) == (
        '<p>See <autoref identifier="recbole_mpo.model.MPORec" optional><code>MPORec</code></autoref> and '
        '<autoref identifier="encode" optional><code>encode</code></autoref>.</p>'
    )


def test_a_public_name_without_docstring_fails_a_strict_build(hooks, tmp_path, monkeypatch, caplog):
    package = tmp_path / "recbole_mpo"
    package.mkdir()
    (package / "__init__.py").write_text("def _hidden(): pass\ndef silent(): pass\n", encoding="utf-8")
    layer = (
        'class Layer:\n    """Says."""\n    def merge(self): pass\n    @property\n    def size(self): pass\n'
        '    def loud(self):\n        """Says."""\n    def stub(self): ...\n'
    )
    (package / "layer.py").write_text(layer, encoding="utf-8")
    names = ["recbole_mpo.silent", "recbole_mpo.layer.Layer.merge", "recbole_mpo.layer.Layer.size"]
    assert hooks.undocumented(package) == names
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    with caplog.at_level(logging.WARNING):
        hooks.on_pre_build(None)
    # MkDocs counts the warnings of its own loggers, and fails a strict build for any.
    assert [(entry.name.partition(".")[0], entry.getMessage()) for entry in caplog.records] == [
        ("mkdocs", f"{name} has no docstring") for name in names
    ]


def test_every_public_name_of_the_package_has_a_docstring(hooks):
    assert hooks.undocumented(ROOT / "recbole_mpo") == []


def test_the_site_builds_strictly_and_loads_nothing_from_another_host(tmp_path):
    pytest.importorskip("mkdocs_autorefs", reason="needs the extra [docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true", "RECBOLE_MPO_REPOSITORY": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    loads = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//|url\([\"']?https?://")
    files = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > len(DOCS_PAGES)
    assert [hit for path in files for hit in loads.findall(path.read_text(encoding="utf-8"))] == []
