"""Control characters are shown, not obeyed; an output that is closed or full is noticed and left alone."""

import os
import subprocess
import sys

import pytest

from recbole_mpo.common.terminal import has_control_characters, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 👍", "plain é 漢 👍"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb\x08c\x7f", "a\\rb\\x08c\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("right \u202e left \u2066", "right \\u202e left \\u2066"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_control_characters_become_escapes(text, shown):
    assert printable(text) == one_line(text) == shown
    assert has_control_characters(text) == (text != shown)


def test_line_ends_stay_in_a_text_and_not_in_a_line():
    assert printable("a\n\tb") == "a\n\tb"
    assert one_line("a\n\tb") == "a\\n\\tb" and has_control_characters("a\nb")


PRINTS = """
import sys
from recbole_mpo.common.terminal import OutputError, checked_output, drop_output
try:
    with checked_output():
        print("é\\ud83d")
except OutputError as problem:
    drop_output()
    print(problem.strerror, file=sys.stderr)
    print("unheard")
"""


def prints(output, encoding="utf-8"):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], stdout=output, stderr=subprocess.PIPE, env=environment, check=False
    )
    return done, done.stderr.decode()


def test_characters_that_the_output_lacks_are_escaped():
    done, error = prints(subprocess.PIPE, "ascii")
    assert (done.returncode, done.stdout, error) == (0, b"\\xe9\\ud83d\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_noticed_and_python_ends_in_peace(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:
        done, error = prints(full)
    assert (done.returncode, error) == (0, "No space left on device\n")
