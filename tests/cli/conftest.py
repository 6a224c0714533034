"""What tests of the command line share."""

import pytest

from recbole_mpo.cli import main as cli


@pytest.fixture(autouse=True)
def keep_process(monkeypatch):
    """The command line sets up its process for speed; that is not for the tests'."""
    monkeypatch.setattr(cli, "prepare_process", lambda: None)


@pytest.fixture
def failing(capsys):
    """Runs a command that must fail with exit code 2 and one line on stderr; returns the message."""

    def run(*arguments):
        assert cli.main(list(arguments)) == 2
        out, error = capsys.readouterr()
        assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error + out
        return error.removeprefix("error: ").rstrip("\n")

    return run


@pytest.fixture
def tiny_arguments(tiny_settings):
    """``run`` on ``tiny``; keywords replace settings, None removes one."""

    def make(command="run", model="MPORec", dataset="tiny", **changes):
        settings = {"model": model, "dataset": dataset, **tiny_settings, **changes}
        return [command, *(f"--{key}={value}" for key, value in settings.items() if value is not None)]

    return make
