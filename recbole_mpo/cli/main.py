"""The entry point: command-line arguments in, exit code out.

``recbole-mpo run`` and ``run_recbole_mpo.py`` take RecBole's ``--key=value`` form for every setting.
"""

import sys
import traceback

from click.exceptions import Exit

from recbole_mpo.cli.arguments import ASKED
from recbole_mpo.cli.commands import PROGRAM
from recbole_mpo.common.errors import RecboleMPOError
from recbole_mpo.common.process import prepare_process
from recbole_mpo.common.recbole_install import missing_recbole


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the process by default.

    Returns:
        0, or 2 after an error that a user can fix, or 130 after an interruption. ``doctor`` returns its own code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _run(arguments) if arguments else _run(["--help"]) or 2
    except (RecboleMPOError, ModuleNotFoundError) as problem:
        if isinstance(problem, ModuleNotFoundError):
            if problem.name != "recbole":
                raise
            problem = missing_recbole()
        if debug:
            traceback.print_exc()
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; to continue, give the same command again, a run with --resume=auto", file=sys.stderr)
        return 130


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
