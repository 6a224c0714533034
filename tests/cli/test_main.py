"""The entry: help, version, exit codes, and errors as one line."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from recbole_mpo import __version__
from recbole_mpo.cli import commands
from recbole_mpo.cli import main as cli
from recbole_mpo.quick_start.record import read_record

REPOSITORY = Path(__file__).resolve().parents[2]


def stub(function):
    """A command of the table that takes nothing."""
    return click.Command("stub", callback=function)


class TestHelp:
    @pytest.mark.parametrize(
        "arguments",
        [["--help"], ["-h"], ["help"], ["--debug", "help"], ["-h", "--version"], ["--model=a", "-h"], ["rnu", "-h"]],
    )
    def test_help_names_every_command(self, capsys, arguments):
        assert cli.main(arguments) == 0
        out, error = capsys.readouterr()
        assert out.startswith("usage: recbole-mpo COMMAND") and not error
        listed = set(re.findall(r"^  (\w+)  ", out, flags=re.M))
        assert listed == set(commands.COMMANDS)
        assert "--debug" in out and "--version" in out and "docs/settings.md" in out

    @pytest.mark.parametrize(
        "arguments",
        [["run", "--help"], ["run", "-h"], ["--help", "run"], ["help", "run"], ["run", "--epochs", "3", "x", "--help"]],
    )
    def test_help_anywhere_on_the_line_is_of_the_command_named(self, capsys, arguments):
        assert cli.main(arguments) == 0
        out, error = capsys.readouterr()
        assert out.startswith("usage: recbole-mpo run --model=NAME --dataset=NAME [--key=value ...]\n") and not error

    @pytest.mark.parametrize("arguments", [[], ["--debug"]])
    def test_without_arguments_help_is_an_error(self, capsys, arguments):
        assert cli.main(arguments) == 2
        assert "usage:" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments", [["--version"], ["run", "--version"], ["--version", "run"], ["run", "--model=a", "b", "--version"]]
    )
    def test_version(self, capsys, arguments):
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == f"recbole_mpo {__version__}\n"

    def test_arguments_default_to_the_process_own(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["recbole-mpo", "--version"])
        assert cli.main() == 0
        assert __version__ in capsys.readouterr().out


class TestErrors:
    def test_unknown_command_suggests(self, failing):
        assert failing("rnu").startswith("unknown command 'rnu' (did you mean 'run'?)")
        assert "(did you mean 'doctor'?)" in failing("docter")

    def test_a_setting_without_a_command(self, failing):
        assert "unknown command '--model=MPORec'" in failing("--model=MPORec")

    @pytest.mark.parametrize("arguments", [["rnu", "--debug"], ["--debug", "rnu"]])
    def test_debug_shows_the_trace_too(self, capsys, arguments):
        assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert "Traceback" in error and error.rstrip().splitlines()[-1].startswith("error: unknown command")

    def test_an_error_nobody_foresaw_keeps_its_trace(self, monkeypatch):
        monkeypatch.setitem(commands.COMMANDS, "table", stub(lambda: 1 // 0))
        with pytest.raises(ZeroDivisionError):
            cli.main(["table"])

    @pytest.mark.parametrize("note", [None, "to continue, give the same command again with --resume=auto"])
    def test_interruption_names_the_way_on(self, monkeypatch, capsys, note):
        def interrupt():
            problem = KeyboardInterrupt()
            if note:
                problem.add_note(note)
            raise problem

        monkeypatch.setitem(commands.COMMANDS, "run", stub(interrupt))
        assert cli.main(["run"]) == 130
        assert capsys.readouterr().err == f"interrupted; {note or 'give the same command again'}\n"

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_a_request_to_end_is_an_interruption_too(self, default_signals, monkeypatch, capsys, name):
        number = getattr(signal, name)
        monkeypatch.setitem(commands.COMMANDS, "run", stub(lambda: os.kill(os.getpid(), number)))
        assert cli.main(["run"]) == 128 + number
        assert capsys.readouterr().err == f"ended by {name}; give the same command again\n"
        assert signal.getsignal(number) is signal.SIG_DFL

    @pytest.mark.parametrize(
        ("problem", "message"),
        [
            (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: No space left on device"),
            (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
            (PermissionError(errno.EACCES, "Permission denied", "c\x1b[2J"), "c\\x1b[2J: Permission denied"),
        ],
    )
    def test_an_error_of_the_system_is_one_line(self, monkeypatch, failing, problem, message):
        def fail():
            raise problem

        monkeypatch.setitem(commands.COMMANDS, "table", stub(fail))
        assert failing("table") == message

    @pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
    def test_a_command_may_have_an_exit_code_of_its_own(self, monkeypatch, returned, code):
        monkeypatch.setitem(commands.COMMANDS, "doctor", stub(lambda: returned))
        assert cli.main(["doctor"]) == code

    def test_the_process_is_prepared_before_a_command_and_not_for_a_wrong_one(self, monkeypatch):
        calls = []
        monkeypatch.setattr(cli, "prepare_process", lambda: calls.append("prepared"))
        monkeypatch.setitem(commands.COMMANDS, "table", stub(lambda: calls.append("ran")))
        assert cli.main(["tabel"]) == 2 and not calls
        assert cli.main(["table"]) == 0 and calls == ["prepared", "ran"]


class TestOutput:
    """A reader that is gone and a full device, as a shell has them."""

    @staticmethod
    def run(arguments, output):
        command = [sys.executable, "-m", "recbole_mpo", *arguments]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stderr

    @pytest.fixture(autouse=True, params=["", "1"])
    def set_buffering(self, monkeypatch, request):
        monkeypatch.setenv("PYTHONUNBUFFERED", request.param)

    @pytest.mark.parametrize("arguments", [["--help"], ["doctor"]])
    def test_a_closed_pipe_ends_the_command_without_a_word(self, arguments):
        read, write = os.pipe()
        os.close(read)
        assert self.run(arguments, write) == (141, "")
        os.close(write)

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device")
    def test_a_full_output_is_one_line(self):
        with open("/dev/full", "w") as full:
            code, error = self.run(["--help"], full)
        assert (code, error) == (2, "error: the standard output cannot be written: No space left on device\n")


@pytest.mark.skipif(not (REPOSITORY / "run_recbole_mpo.py").is_file(), reason="not a source tree")
def test_the_script_runs_from_another_folder(tiny_arguments, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, str(REPOSITORY / "run_recbole_mpo.py"), *tiny_arguments()[1:], "--dry_run"]
    done = subprocess.run(
        [*command, "--record=record.json"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_record(elsewhere / "record.json")["status"] == "dry_run"
    assert "parameters:" in done.stdout
