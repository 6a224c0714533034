"""``serve``: what it passes on."""

from pathlib import Path

import pytest

from recbole_mpo.cli import main as cli
from recbole_mpo.release.serving import Limits, Place, server


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.delenv(server.KEY_VARIABLE, raising=False)
    made = []
    monkeypatch.setattr(server, "serve", lambda *arguments: made.append(arguments) or 0)
    return made


def test_folders_place_and_limits_are_passed_on(calls):
    assert cli.main(["serve", "a", "b=c"]) == 0
    options = ["--host=::1", "--port=9", "--api_key=007", "--state_dir=s", "--threads=3"]
    options += ["--max_batch=4", "--max_queue=5", "--max_body=6", "--timeout=0.5"]
    assert cli.main(["serve", "a", *options]) == 0
    assert calls == [
        (("a", "b=c"), Place(), Limits(), None, None),
        (
            ("a",),
            Place("::1", 9, "007"),
            Limits(max_batch=4, max_queue=5, body_bytes=6, timeout=0.5),
            3,
            Path("s"),
        ),
    ]


@pytest.mark.parametrize("seconds", ["0", "-1", "inf"])
def test_a_request_needs_time(failing, calls, seconds):
    assert failing("serve", "a", f"--timeout={seconds}").startswith("timeout must be a number of seconds above 0")
    assert not calls


def test_a_folder_is_needed(failing):
    assert failing("serve") == "serve needs a folder that export wrote; give one or several"
