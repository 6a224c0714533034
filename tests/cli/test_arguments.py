"""RecBole's habit in click: what a declared command understands, what it refuses, and what its help says."""

import click
import pytest

from recbole_mpo.cli import commands
from recbole_mpo.cli import main as cli
from recbole_mpo.cli.arguments import command, given_options, option
from recbole_mpo.cli.kinds import Numbers, Text, Truth, Whole, Words


@pytest.fixture
def calls(monkeypatch):
    """What the table's commands ``try`` (words, no settings) and ``free`` (settings, no words) were called with."""
    calls = []

    @command("try")
    @click.argument("words", nargs=-1, metavar="WORD ...")
    @option("--in_file", Text("FILE"), "Where to read.", required=True)
    @option("--top_k", Whole(least=1), "How many.", default=10)
    @option("--parts", Words("a,b"), "Which ones.", default=())
    @option("--dry_run", Truth(), "Only look.", default=False)
    @option("--show_all", Truth(), "Leave nothing out.", default=True, group="other things")
    @click.pass_context
    def try_command(ctx, **values):
        """Try something.

        More about it.
        """
        calls.append({**values, "given": [given.key for given in given_options(ctx)]})

    @command("free", settings="All settings are welcome.")
    @option("--dry_run", Truth(), "Only look.", default=False)
    @option("--in_file", Text("FILE"), "Where to read.")
    @option("--ratios", Numbers("1,2"), "Parts.", default="1,2")
    def free_command(**values):
        """Try settings."""
        calls.append(values)

    monkeypatch.setitem(commands.COMMANDS, "try", try_command)
    monkeypatch.setitem(commands.COMMANDS, "free", free_command)
    return calls


class TestValues:
    def test_options_words_and_defaults(self, calls):
        assert cli.main(["try", "a", "--in_file=x=y", "b", "--parts=p,q"]) == 0
        assert calls == [
            {"words": ("a", "b"), "in_file": "x=y", "top_k": 10, "parts": ["p", "q"], "dry_run": False}
            | {"show_all": True, "given": ["in_file", "parts"]}
        ]

    def test_hyphens_and_underscores_in_keys_are_the_same_and_stay_in_values(self, calls):
        assert cli.main(["try", "--in-file=a-b_c", "--dry-run", "--top-k=3", "d-e_f"]) == 0
        values = calls[0]
        assert (values["in_file"], values["top_k"], values["dry_run"]) == ("a-b_c", 3, True)
        assert values["words"] == ("d-e_f",) and values["given"] == ["in_file", "top_k", "dry_run"]

    @pytest.mark.parametrize(("text", "value"), [("", True), ("=true", True), ("=false", False), ("=no", False)])
    def test_a_switch_stands_bare_or_with_its_value(self, calls, text, value):
        assert cli.main(["free", f"--dry_run{text}", f"--dry-run{text}"]) == 0
        assert calls[0]["dry_run"] is value

    def test_a_switch_leaves_the_next_word_alone(self, calls):
        assert cli.main(["try", "--in_file=x", "--dry_run", "word"]) == 0
        assert calls[0]["dry_run"] is True and calls[0]["words"] == ("word",)

    def test_an_empty_text_leaves_the_default(self, calls):
        assert cli.main(["free", "--in_file=", "--ratios=~"]) == 0
        assert calls == [{"in_file": None, "ratios": [1.0, 2.0], "dry_run": False, "settings": {}}]

    def test_everything_else_is_a_setting_read_as_yaml(self, calls):
        arguments = ["--learning-rate=1e-3", "--in_file=1e-3", "--freeze=[a,b]", "--top_k=", "--x=a b"]
        assert cli.main(["free", *arguments]) == 0
        settings = {"learning_rate": 0.001, "freeze": ["a", "b"], "top_k": None, "x": "a b"}
        assert calls[0]["settings"] == settings and calls[0]["in_file"] == "1e-3"

    def test_the_same_value_twice_is_one(self, calls):
        assert cli.main(["try", "--in_file=x", "--in-file=x", "--top_k=5", "--top_k=05"]) == 0
        assert calls[0]["top_k"] == 5


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["try"], "try needs --in_file=VALUE"),
            (["try", "--in_file="], "try needs --in_file=VALUE"),
            (["try", "--in_file", "x"], "argument '--in_file' is not understood; write --in_file=VALUE, with '='"),
            (["try", "--in-fil=x"], "try has no --in_fil (did you mean 'in_file'?); see recbole-mpo try --help"),
            (["try", "--in_file=x", "--wholly=1"], "try has no --wholly; see recbole-mpo try --help"),
            (["try", "--in_file=x", "--wholly"], "try has no --wholly; see recbole-mpo try --help"),
            (["try", "--in_file=x", "-k=3"], "argument '-k=3' is not understood; write --k=VALUE"),
            (["try", "--in_file=x", "--"], "argument '--' is not understood; write --key=VALUE"),
            (["try", "--in_file=x", "--in_file=y"], "--in_file is given twice, as 'x' and 'y'"),
            (["try", "--in_file=x", "--in-file="], "--in_file is given twice, as 'x' and ''"),
            (["try", "--in_file=x", "--dry_run", "--dry_run=false"], "--dry_run is given twice, as 'true' and 'false'"),
            (["try", "--in_file=x", "--top_k=0"], "top_k must be a positive whole number, not 0"),
            (["try", "--in_file=x", "--top_k="], "top_k must be a positive whole number, not None"),
            (["free", "--dry_run=perhaps"], "dry_run must be true or false, not 'perhaps'"),
            (["free", "--epochs", "3"], "argument '--epochs' is not understood; write --epochs=VALUE, with '='"),
            (["free", "epochs=3"], "argument 'epochs=3' is not understood; write --epochs=VALUE"),
            (["free", "--dryrun"], "free has no --dryrun (did you mean 'dry_run'?); see recbole-mpo free --help"),
            (["free", "--epochs=3", "--epochs=4"], "--epochs is given twice, as 3 and 4"),
            (["free", "--help=yes"], "--help takes no value; write --help alone"),
            (["try", "--debug=true"], "--debug takes no value; write --debug alone"),
            (["try", "--version=2"], "--version takes no value; write --version alone"),
        ],
    )
    def test_what_was_wrong_is_told(self, failing, calls, arguments, message):
        assert failing(*arguments).startswith(message)
        assert not calls


class TestHelp:
    def test_words_options_defaults_and_headings(self, capsys, calls, monkeypatch):
        monkeypatch.setenv("COLUMNS", "100")
        assert cli.main(["try", "--help"]) == 0
        assert capsys.readouterr().out == (
            "usage: recbole-mpo try WORD ... --in_file=FILE [--key=value ...]\n"
            "\n"
            "  Try something.\n"
            "\n"
            "  More about it.\n"
            "\n"
            "options:\n"
            "  --in_file=FILE  Where to read. [required]\n"
            "  --top_k=NUMBER  How many. [default: 10]\n"
            "  --parts=a,b     Which ones.\n"
            "  --dry_run       Only look. [default: false]\n"
            "\n"
            "other things:\n"
            "  --show_all=true|false  Leave nothing out. [default: true]\n"
            "\n"
            "every command:\n"
            "  --version   Show the version and exit.\n"
            "  --debug     Show the traceback of an error.\n"
            "  -h, --help  Show this message and exit.\n"
        )

    def test_settings_are_explained_at_the_end(self, capsys, calls):
        assert cli.main(["free", "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("usage: recbole-mpo free [--key=value ...]\n")
        assert out.endswith("\n\n  All settings are welcome.\n")

    def test_a_new_command_stands_in_the_table_with_its_first_line(self, capsys, calls):
        assert cli.main(["--help"]) == 0
        assert "\n  try        Try something.\n" in capsys.readouterr().out
