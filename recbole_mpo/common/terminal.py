"""Text on the terminal: control characters made visible, and an output that is closed or full."""

import os
import re
import sys
from contextlib import contextmanager, redirect_stdout

# Control characters (C0, DEL, C1), line and paragraph separators, marks that reorder text, and halves of surrogates.
_HIDDEN = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_A_LINE = re.compile(rf"[\t\n{_HIDDEN}]")


def printable(text: str) -> str:
    """Return text with its control characters as escapes, for texts that a terminal must not obey; line ends stay.

    A title of the data or a name in a damaged file may hold sequences that recolour, retitle or rewrite a terminal.
    """
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return text as :func:`printable` does, with line ends and tabs as escapes too, for a cell or a message."""
    return _UNSAFE_IN_A_LINE.sub(_escape, text)


def has_control_characters(text: str) -> bool:
    """Return whether :func:`one_line` would change a text."""
    return _UNSAFE_IN_A_LINE.search(text) is not None


def _escape(match: re.Match) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class OutputError(OSError):
    """The standard output is closed or full."""


class _Checked:
    """A stream that raises :class:`OutputError`, since errors of the system do not say which file they are about."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write text; return how much was written."""
        with _as_output_error():
            return self._stream.write(text)

    def flush(self):
        """Write what is held back."""
        with _as_output_error():
            self._stream.flush()


@contextmanager
def _as_output_error():
    try:
        yield
    except OSError as problem:
        raise OutputError(problem.errno, problem.strerror) from problem


@contextmanager
def checked_output():
    """Raise :class:`OutputError` in the block when the standard output is closed or full.

    All is written at the end of the block: as Python ends, an error could no longer be caught. Characters that the
    output's encoding lacks are printed as escapes.
    """
    output = sys.stdout
    # None if the process was started without an output.
    if output is None:
        yield
        return
    # What replaces the output, in a notebook for example, need not have the method.
    if hasattr(output, "reconfigure"):
        output.reconfigure(errors="backslashreplace")
    checked = _Checked(output)
    with redirect_stdout(checked):
        yield
        checked.flush()


def drop_output():
    """Send what is still printed nowhere, so that a closed or full output is not written to again."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
