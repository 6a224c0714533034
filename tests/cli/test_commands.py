"""The one table of commands: what each command's help lists, and that help needs nothing heavy."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recbole_mpo.cli import main as cli
from recbole_mpo.cli.arguments import Option
from recbole_mpo.cli.commands import COMMANDS
from recbole_mpo.cli.kinds import Choice
from recbole_mpo.data.prepare.engine import ENGINES, Engine
from recbole_mpo.data.prepare.prepared import LAYOUTS, OUTPUT_FORMATS, WAYS_TO_SPLIT, Form
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.release import merge
from recbole_mpo.release.adapter_parts import FROZEN
from recbole_mpo.release.answers import FORMATS
from recbole_mpo.release.compress.compress_options import TIMES
from recbole_mpo.release.serving import Limits, Place
from recbole_mpo.release.top_items import KINDS
from recbole_mpo.study.forms import FORMS
from recbole_mpo.study.groups import GROUPINGS
from recbole_mpo.study.table import METRICS
from recbole_mpo.text.encoders import POOLINGS

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIRED = object()
# Every option with its default as help writes it; None where nothing is given by default.
OPTIONS = {
    "run": {
        "--model=NAME": REQUIRED,
        "--dataset=NAME": REQUIRED,
        "--config_files=FILE,FILE": None,
        "--dry_run": "false",
        "--resume=PATH|auto": None,
        "--record=PATH": None,
    },
    "pretrain": {
        "--domains=NAME,NAME": REQUIRED,
        "--model=NAME": "UniSRec",
        "--output=FILE": REQUIRED,
        "--config_files=FILE,FILE": None,
        "--dry_run": "false",
        "--resume=PATH|auto": None,
        "--record=PATH": None,
    },
    "evaluate": {"--checkpoint=FILE": REQUIRED},
    "merge": {"--checkpoint=FILE": REQUIRED, "--output=FILE": REQUIRED, "--layout=own|unisrec": "own"},
    "adapter": {
        "--base=FILE": REQUIRED,
        "--output=FILE": REQUIRED,
        "--checkpoint=FILE": None,
        "--adapter=FILE": None,
        "--frozen=rebuilt|stored": "rebuilt",
        "--report=FILE": None,
    },
    "export": {"--checkpoint=FILE": REQUIRED, "--output=DIR": REQUIRED, "--format=folder|onnx": "folder"},
    "serve": {
        "--host=ADDRESS": "127.0.0.1",
        "--port=NUMBER": "8000",
        "--api_key=TEXT": None,
        "--state_dir=FOLDER": None,
        "--threads=NUMBER": None,
        "--max_batch=NUMBER": "64",
        "--max_queue=NUMBER": "256",
        "--max_body=NUMBER": "1048576",
        "--timeout=NUMBER": "10.0",
    },
    "compress": {
        "--checkpoint=FILE": REQUIRED,
        "--method=NAME:STRENGTH": REQUIRED,
        "--output=FOLDER": REQUIRED,
        "--finetune_epochs=N,N": "0",
        "--l1=NUMBER": "0.0",
        "--target_ratio=NUMBER,NUMBER": None,
        "--largest_drop=NUMBER": "0.05",
        "--times=with|without|only": "with",
    },
    "recommend": {
        "--checkpoint=FILE": None,
        "--model_folder=DIR": None,
        "--items=TOKEN,TOKEN": None,
        "--item=TOKEN": None,
        "--histories=FILE": None,
        "--topk=NUMBER": "10",
        "--format=text|json|csv": "text",
        "--topk_by=float32|int8|index": "float32",
        "--index_file=FILE": None,
    },
    "table": {
        "--format=markdown|text|csv": "markdown",
        "--metrics=NAME,NAME": "hit@10,hit@50,ndcg@10,ndcg@50",
        "--mix": "false",
        "--published": "false",
        "--reference=RUN": None,
        "--by=history_length|popularity": None,
    },
    "compare": {
        "--dataset=NAME,NAME": REQUIRED,
        "--seeds=NUMBER,NUMBER": "2020",
        "--reference=NAME": None,
        "--title=TEXT": "Comparison",
        "--output=FOLDER": None,
        "--reuse=FOLDER,FOLDER": "results",
        "--jobs=NUMBER": "1",
        "--max_hours=NUMBER": None,
        "--dry_run": "false",
    },
    "report": {"--wilcoxon": "false"},
    "scaling": {"--output=FOLDER": None, "--shard=I/N": None, "--jobs=NUMBER": "1", "--max_hours=NUMBER": None},
    "prepare": {
        "--data_path=FOLDER": "dataset",
        "--overwrite": "false",
        "--show_progress=true|false": "true",
        "--k_core=NUMBER": "5",
        "--min_length=NUMBER": "3",
        "--min_rating=NUMBER": None,
        "--split=leave-one-out|temporal": "leave-one-out",
        "--layout=single|presplit": "single",
        "--split_ratio=0.8,0.1,0.1": "0.8,0.1,0.1",
        "--output_format=inter|parquet": "inter",
        "--parts=NUMBER": "64",
        "--engine=memory|duckdb": "memory",
        "--memory_limit=SIZE": "8GB",
        "--threads=NUMBER": None,
        "--raw=PATH": None,
        "--source_url=URL": None,
        "--release=2018|2023": None,
        "--categories=NAME,NAME": None,
        "--without_users_of=NAME,NAME": None,
        "--interactions=FILE": None,
        "--items=FILE": None,
        "--user=COLUMN": None,
        "--item=COLUMN": None,
        "--time=COLUMN": None,
        "--order=time|file": "time",
        "--rating=COLUMN": None,
        "--item_column=COLUMN": None,
        "--text=COLUMN,COLUMN": None,
        "--time_format=FORMAT": None,
        "--separator=TEXT": None,
        "--encoding=NAME": None,
        "--items_separator=TEXT": None,
        "--items_encoding=NAME": None,
        "--domains=NAME,NAME": None,
        "--text_encoder=NAME": None,
        "--cache_dir=FOLDER": "dataset/.cache",
    },
    "encode": {
        "--dataset=NAME": REQUIRED,
        "--data_path=FOLDER": "dataset",
        "--text_encoder=NAME": "minilm",
        "--text_pooling=mean|cls|own": "mean",
        "--cache_dir=FOLDER": "dataset/.cache",
        "--processes=NUMBER": "1",
        "--use_gpu=true|false": "true",
        "--show_progress=true|false": "true",
    },
    "inspect": {
        "--data_path=FOLDER": "dataset",
        "--page=FILE": None,
        "--users=NUMBER": "3",
        "--USER_ID_FIELD=COLUMN": "user_id",
        "--ITEM_ID_FIELD=COLUMN": "item_id",
        "--TIME_FIELD=COLUMN": "timestamp",
        "--LIST_SUFFIX=TEXT": "_list",
        "--field_separator=TEXT": "tab",
        "--seq_separator=TEXT": None,
        "--encoding=NAME": "utf-8",
    },
    "demo": {
        "--data_path=FOLDER": "dataset",
        "--checkpoint_dir=FOLDER": "saved/demo",
        "--epochs=NUMBER": "10",
        "--learning_rate=NUMBER": "0.002",
        "--hidden_size=NUMBER": "128",
        "--n_exps=NUMBER": "4",
    },
    "doctor": {},
}


def rows_of(out):
    """``{form: sentence}`` of the options in a help text, without the options of every command."""
    rows, form = {}, None
    for line in out.partition("\nevery command:\n")[0].partition("\noptions:\n")[2].splitlines():
        if match := re.match(r"  (--\S+) +(\S.*)$", line):
            form, rows[match[1]] = match[1], match[2]
        elif form and line.startswith(" " * 8):
            # A long sentence goes on, and may have been parted at a hyphen.
            rows[form] += ("" if rows[form].endswith("-") else " ") + line.strip()
    return rows


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_it_lists_the_commands_options_with_their_defaults(self, capsys, name):
        assert cli.main([name, "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: recbole-mpo {name}")
        rows = rows_of(out)
        assert set(rows) == set(OPTIONS[name])
        for form, default in OPTIONS[name].items():
            note = {REQUIRED: "[required]", None: "."}.get(default, f"[default: {default}]")
            assert rows[form].endswith(note), form

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_declared_option_is_listed(self, capsys, name):
        assert cli.main([name, "--help"]) == 0
        out = capsys.readouterr().out
        options = [param for param in COMMANDS[name].params if isinstance(param, Option)]
        assert {row.partition("=")[0] for row in rows_of(out)} == {option.opts[0] for option in options}
        for option in ("--help", "--version", "--debug"):
            assert option in out

    @pytest.mark.parametrize(
        "name", ["run", "evaluate", "merge", "export", "compress", "recommend", "compare", "scaling", "demo"]
    )
    def test_commands_that_take_settings_say_where_they_are_listed(self, capsys, name):
        assert cli.main([name, "--help"]) == 0
        assert "docs/settings.md" in capsys.readouterr().out
        assert COMMANDS[name].settings

    def test_options_of_prepare_stand_below_what_they_are_about(self, capsys):
        assert cli.main(["prepare", "--help"]) == 0
        out = capsys.readouterr().out
        headings = re.findall(r"^([a-z ]+):$", out, flags=re.M)
        assert headings == [
            "options",
            "interactions to keep",
            "form of the files",
            "large data",
            "raw data",
            "your own tables",
            "several domains",
            "features",
            "every command",
        ]
        assert set(rows_of("\noptions:\n" + out.partition("\nyour own tables:\n")[2].partition("\n\n")[0])) == {
            *("--interactions=FILE", "--items=FILE", "--user=COLUMN", "--item=COLUMN", "--time=COLUMN"),
            *("--item_column=COLUMN", "--text=COLUMN,COLUMN", "--time_format=FORMAT"),
            *("--order=time|file", "--rating=COLUMN"),
            *("--separator=TEXT", "--encoding=NAME", "--items_separator=TEXT", "--items_encoding=NAME"),
        }

    def test_no_help_imports_what_is_heavy(self):
        code = (
            "import sys; from recbole_mpo.cli.main import main; from recbole_mpo.cli.commands import COMMANDS\n"
            "assert not any(main([*name, '--help']) for name in ([], *([name] for name in COMMANDS)))\n"
            "heavy = {'torch', 'recbole', 'ray', 'numpy', 'pandas', 'scipy', 'plotly', 'sentence_transformers'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("usage: recbole-mpo") == 1 + len(COMMANDS)


class TestDeclarations:
    """What the command line repeats, so that help need not import it, is what the rooms have."""

    def test_choices_are_those_of_the_rooms(self):
        choices = {
            (name, option.key): option.type.choices
            for name, command in COMMANDS.items()
            for option in command.options.values()
            if isinstance(option.type, Choice)
        }
        assert choices == {
            ("adapter", "frozen"): FROZEN,
            ("compress", "times"): TIMES,
            ("encode", "text_pooling"): POOLINGS,
            ("export", "format"): ("folder", "onnx"),
            ("merge", "layout"): merge.LAYOUTS,
            ("prepare", "split"): WAYS_TO_SPLIT,
            ("prepare", "layout"): LAYOUTS,
            ("prepare", "output_format"): OUTPUT_FORMATS,
            ("prepare", "engine"): ENGINES,
            ("prepare", "order"): ("time", "file"),
            ("recommend", "format"): FORMATS,
            ("recommend", "topk_by"): KINDS,
            ("table", "format"): tuple(FORMS),
            ("table", "by"): tuple(GROUPINGS),
        }

    def test_defaults_are_those_of_the_rooms(self):
        prepare = COMMANDS["prepare"].options
        recipe, form = Recipe(), Form()
        assert [prepare[key].default for key in ("k_core", "min_length")] == [recipe.k_core, recipe.min_length]
        form_keys = ("split", "layout", "output_format", "parts")
        assert [prepare[key].default for key in form_keys] == [getattr(form, key) for key in form_keys]
        assert (prepare["engine"].default, prepare["memory_limit"].default) == (Engine().name, Engine().memory_limit)
        assert prepare["split_ratio"].type.read("split_ratio", prepare["split_ratio"].default) == list(form.ratios)
        serve, limits = COMMANDS["serve"].options, Limits()
        names = {"max_batch": "max_batch", "max_queue": "max_queue", "max_body": "body_bytes", "timeout": "timeout"}
        assert {key: serve[key].default for key in names} == {key: getattr(limits, names[key]) for key in names}
        assert (serve["host"].default, serve["port"].default) == (Place().host, Place().port)
        metrics = COMMANDS["table"].options["metrics"]
        assert metrics.type.read("metrics", metrics.default) == list(METRICS)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_is_declared_in_sentences(self, name):
        command = COMMANDS[name]
        assert command.name == name
        assert re.fullmatch(r"[A-Z][^\n]+\.", command.short_help)
        for option in command.options.values():
            assert re.fullmatch(r"[A-Z].+\.", option.help), option.key
        keys = [option.key for option in command.options.values()]
        assert len(keys) == len(set(keys))


class TestDoctor:
    def test_its_exit_code_is_the_commands(self, monkeypatch, capsys):
        monkeypatch.setattr("recbole_mpo.cli.doctor.collect", list)
        assert cli.main(["doctor"]) == 0
        assert "Everything required is in place." in capsys.readouterr().out

    def test_it_takes_nothing(self, failing):
        assert failing("doctor", "--model=MPORec") == "doctor has no --model; see recbole-mpo doctor --help"

    def test_it_runs_where_other_imports_are_broken(self):
        code = (
            "import sys\n"
            "for name in ('torch', 'recbole', 'ray', 'numpy', 'pandas', 'scipy', 'yaml'): sys.modules[name] = None\n"
            "from recbole_mpo.cli.main import main; sys.exit(main(['doctor']))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 1 and not done.stderr
        assert done.stdout.rstrip().endswith("To be fixed: device.")
