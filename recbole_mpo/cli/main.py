"""The entry point: command-line arguments in, exit code out.

``recbole-mpo run`` and ``run_recbole_mpo.py`` take RecBole's ``--key=value`` form for every setting.
"""

import errno
import sys
import traceback
from contextlib import suppress

from click.exceptions import Exit

from recbole_mpo.cli.arguments import ASKED
from recbole_mpo.cli.commands import PROGRAM
from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.common.process import Terminated, prepare_process, raising_at_the_end
from recbole_mpo.common.recbole_install import missing_recbole
from recbole_mpo.common.terminal import OutputError, checked_output, drop_output, one_line

# What a shell reports of a program whose reader is gone.
CLOSED_PIPE = 141


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the process by default.

    Returns:
        0; 2 after an error that a user can fix, of the system too; 128 and the number of the signal after an
        interruption, a request to end or a closed output. ``doctor`` returns its own code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with raising_at_the_end(), checked_output():
            return _run(arguments) if arguments else _run(["--help"]) or 2
    except (RecboleMPOError, ModuleNotFoundError, OSError) as problem:
        if isinstance(problem, ModuleNotFoundError) and problem.name != "recbole":
            raise
        if debug:
            traceback.print_exc()
        return _end_after_error(problem)
    except KeyboardInterrupt as problem:
        way_on = vars(problem).get("__notes__", ["give the same command again"])[0]
        if isinstance(problem, Terminated):
            return _end(f"ended by {problem}; {way_on}", 128 + problem.signal)
        return _end(f"interrupted; {way_on}", 130)


def _end_after_error(problem: Exception) -> int:
    """Print the line of an error; return the exit code."""
    if isinstance(problem, ModuleNotFoundError):
        problem = missing_recbole()
    elif isinstance(problem, OutputError):
        drop_output()
        if problem.errno == errno.EPIPE:
            return CLOSED_PIPE
        return _end(f"error: the standard output cannot be written: {problem.strerror}", 2)
    elif isinstance(problem, OSError):
        where = "" if problem.filename is None else f"{problem.filename}: "
        return _end(f"error: {where}{problem.strerror or problem}", 2)
    return _end(f"error: {problem}", 2)


def _end(message: str, code: int) -> int:
    # A terminal that was closed takes no last line either.
    with suppress(OSError):
        print(one_line(message), file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    if arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    # Moved to the end, so that --help before a command's name shows that command's help.
    arguments = sorted(arguments, key=lambda argument: argument in ASKED)
    try:
        with PROGRAM.make_context(PROGRAM.name, arguments) as context:
            prepare_process()
            return PROGRAM.invoke(context) or 0
    except Exit as end:
        return end.exit_code
